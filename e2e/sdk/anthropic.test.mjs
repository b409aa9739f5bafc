// The official Anthropic client works against OneMind with a base URL and a key,
// whichever protocol the engine behind a model speaks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import Anthropic, { APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError, RateLimitError } from "@anthropic-ai/sdk";
import { inputTokens, thought, toolArguments } from "../answers.mjs";
import { picture, textOf } from "../upstream.mjs";
import { engines, personSchema, Server, toolSchema } from "./server.mjs";

let server, client;

const clientOf = (apiKey) => new Anthropic({ apiKey, authToken: null, baseURL: server.origin, maxRetries: 0 });
const messages = [{ role: "user", content: "Say something." }];
const tools = ["look_up", "note_down"].map((name) => ({ name, description: `To ${name}.`, input_schema: toolSchema }));

before(async () => {
  server = await Server.start();
  client = clientOf(server.keyOf("sdk@example.org", 1000));
});

after(() => server?.stop());

/** The rules of a Messages stream: blocks one after another, each begun and ended, and one message around them. */
function wellFormed(events) {
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
  assert.equal(events.at(-2).type, "message_delta");
  let open = -1;
  let next = 0;
  for (const event of events.filter((one) => one.type !== "ping").slice(1, -2)) {
    switch (event.type) {
      case "content_block_start":
        assert.equal(open, -1, "a block begins inside another");
        assert.equal(event.index, next++);
        open = event.index;
        break;
      case "content_block_stop":
        assert.equal(event.index, open);
        open = -1;
        break;
      default:
        assert.equal(event.type, "content_block_delta");
        assert.equal(event.index, open);
    }
  }
  assert.equal(open, -1, "the last block is not ended");
}

for (const engine of engines) {
  describe(`an engine of the protocol ${engine}`, () => {
    const model = `quick-${engine}`;

    test("messages.create answers, counts and charges", async () => {
      const { data, response } = await client.messages.create({ model, max_tokens: 500, messages }).withResponse();
      assert.equal(data.type, "message");
      assert.equal(data.role, "assistant");
      assert.deepEqual(
        data.content.map(({ type, text }) => ({ type, text })),
        [{ type: "text", text: textOf("quick") }],
      );
      assert.equal(data.stop_reason, "end_turn");
      assert.equal(data.usage.input_tokens, inputTokens);
      assert.equal(data.usage.output_tokens, 40);
      assert.ok(Number(response.headers.get("x-onemind-charge")) > 0);
      assert.ok(data.onemind.charge_nano_usd > 0);
    });

    test("a system prompt, stop sequences and turns arrive at the provider", async () => {
      await client.messages.create({
        model,
        max_tokens: 500,
        system: [{ type: "text", text: "Be brief." }],
        stop_sequences: ["END"],
        messages: [...messages, { role: "assistant", content: "I did." }, { role: "user", content: [{ type: "text", text: "And again?" }] }],
      });
      const sent = JSON.stringify((await server.last()).body);
      for (const word of ["Be brief.", "END", "Say something.", "I did.", "And again?"]) {
        assert.ok(sent.includes(word), `${word} in ${sent}`);
      }
    });

    test("messages.create streams events in order", async () => {
      const stream = await client.messages.create({ model, max_tokens: 500, messages, stream: true });
      const events = [];
      for await (const event of stream) events.push(event);
      wellFormed(events);
      const text = events.filter((event) => event.type === "content_block_delta").map((event) => event.delta.text);
      assert.equal(text.join(""), textOf("quick"));
      assert.ok(text.length > 10, `${text.length} deltas`);
      const end = events.at(-2);
      assert.equal(end.delta.stop_reason, "end_turn");
      assert.equal(end.usage.output_tokens, 40);
    });

    test("the stream helper puts the same message together", async () => {
      let text = "";
      const stream = client.messages.stream({ model, max_tokens: 500, messages }).on("text", (part) => (text += part));
      const message = await stream.finalMessage();
      assert.equal(text, textOf("quick"));
      assert.equal(message.content[0].text, text);
      assert.equal(message.stop_reason, "end_turn");
      assert.equal(message.usage.output_tokens, 40);
    });

    test("tools are called, and their results come back", async () => {
      const asked = await client.messages.create({ model, max_tokens: 500, messages, tools });
      assert.equal(asked.stop_reason, "tool_use");
      const uses = asked.content.filter((block) => block.type === "tool_use");
      assert.deepEqual(
        uses.map(({ name, input }) => ({ name, input })),
        tools.map(({ name }) => ({ name, input: toolArguments })),
      );
      assert.equal(new Set(uses.map((use) => use.id)).size, 2, "the calls have ids of their own");
      const results = uses.map((use, i) => ({ type: "tool_result", tool_use_id: use.id, content: `result ${i}` }));
      const turns = [...messages, { role: "assistant", content: asked.content }, { role: "user", content: results }];
      const answered = await client.messages.create({ model, max_tokens: 500, messages: turns, tools });
      assert.equal(answered.stop_reason, "end_turn");
      assert.match(answered.content[0].text, /^The tool said: .*result 1/);
    });

    test("streamed arguments of tools are JSON when they are put together", async () => {
      const stream = client.messages.stream({ model, max_tokens: 500, messages, tools });
      const events = [];
      const raw = {};
      for await (const event of stream) {
        events.push(event);
        if (event.delta?.type === "input_json_delta") raw[event.index] = (raw[event.index] ?? "") + event.delta.partial_json;
      }
      wellFormed(events);
      assert.deepEqual(
        Object.values(raw).map((text) => JSON.parse(text)),
        [toolArguments, toolArguments],
      );
      const message = await stream.finalMessage();
      assert.equal(message.stop_reason, "tool_use");
      assert.deepEqual(
        message.content.filter((block) => block.type === "tool_use").map((block) => block.input),
        [toolArguments, toolArguments],
      );
    });

    test("an image arrives", async () => {
      const content = [
        { type: "text", text: "What is it?" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: picture } },
      ];
      const message = await client.messages.create({ model, max_tokens: 500, messages: [{ role: "user", content }] });
      assert.equal(message.content[0].text, `I see image/png of ${Buffer.from(picture, "base64").length} bytes`);
    });

    test("max_tokens ends an answer, and it says so", async () => {
      const message = await client.messages.create({ model, max_tokens: 3, messages });
      assert.equal(message.stop_reason, "max_tokens");
      assert.equal(message.usage.output_tokens, 3);
    });

    test("thinking comes as a block of its own", async () => {
      const ask = { model: `thinker-${engine}`, max_tokens: 3000, messages, thinking: { type: "enabled", budget_tokens: 1024 } };
      const whole = await client.messages.create(ask);
      const streamed = await client.messages.stream(ask).finalMessage();
      for (const message of [whole, streamed]) {
        assert.deepEqual(
          message.content.map((block) => [block.type, block.thinking ?? block.text]),
          [
            ["thinking", thought],
            ["text", textOf("thinker")],
          ],
        );
      }
    });

    test("structured output is JSON of the schema", async () => {
      const output_config = { format: { type: "json_schema", schema: personSchema } };
      const message = await client.messages.create({ model, max_tokens: 500, messages, output_config });
      assert.deepEqual(JSON.parse(message.content[0].text), { name: "Ada", age: 36 });
    });

    test("countTokens counts", async () => {
      const { input_tokens: short } = await client.messages.countTokens({ model, messages });
      const { input_tokens: long } = await client.messages.countTokens({ model, messages: [{ role: "user", content: "word ".repeat(500) }] });
      assert.ok(short > 0 && long > short + 300, `${short} and ${long}`);
    });

    test("a provider's failure is a typed error", async () => {
      await assert.rejects(client.messages.create({ model: `broken-${engine}`, max_tokens: 500, messages }), (error) => {
        assert.ok(error instanceof InternalServerError, error);
        assert.equal(error.error.type, "error");
        assert.ok(!error.message.includes("sk-scripted"));
        return true;
      });
      await assert.rejects(client.messages.create({ model: `busy-${engine}`, max_tokens: 500, messages, stream: true }), (error) => {
        assert.ok(error instanceof RateLimitError || error instanceof InternalServerError, error);
        assert.ok(Number(error.headers.get("retry-after")) > 0);
        return true;
      });
    });
  });
}

test("members that only Anthropic knows reach a provider of its protocol as they are", async () => {
  const cache_control = { type: "ephemeral" };
  await client.messages.create({
    model: "quick-anthropic",
    max_tokens: 500,
    system: [{ type: "text", text: "A long manual.", cache_control }],
    metadata: { user_id: "u-1" },
    messages,
  });
  const { body, headers } = await server.last();
  assert.deepEqual(body.system, [{ type: "text", text: "A long manual.", cache_control }]);
  assert.deepEqual(body.metadata, { user_id: "u-1" });
  assert.equal(body.model, "quick");
  assert.equal(headers["x-api-key"], "sk-scripted");
});

test("models.list names the models that can be called", async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model);
  const quick = models.find((model) => model.id === "quick-gemini");
  assert.ok(quick, "quick-gemini");
  assert.equal(quick.type, "model");
  assert.ok(quick.display_name);
  assert.ok(!Number.isNaN(Date.parse(quick.created_at)), quick.created_at);
  assert.equal((await client.models.retrieve("quick-openai")).id, "quick-openai");
});

test("a wrong key is an AuthenticationError", async () => {
  await assert.rejects(clientOf("om_wrong").messages.create({ model: "quick-openai", max_tokens: 9, messages }), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.equal(error.status, 401);
    assert.equal(error.error.error.type, "authentication_error");
    return true;
  });
});

test("a bearer token works as well as a key", async () => {
  const bearer = new Anthropic({ apiKey: null, authToken: client.apiKey, baseURL: server.origin, maxRetries: 0 });
  const message = await bearer.messages.create({ model: "quick-anthropic", max_tokens: 9, messages });
  assert.equal(message.usage.output_tokens, 9);
});

test("an unknown model is a NotFoundError", async () => {
  await assert.rejects(client.messages.create({ model: "no-such-model", max_tokens: 9, messages }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.error.error.type, "not_found_error");
    return true;
  });
});

test("a bad parameter is refused by name", async () => {
  for (const [name, bad] of [
    ["max_tokens", { max_tokens: 0 }],
    ["messages", { messages: [] }],
    ["made_up", { made_up: 1 }],
  ]) {
    await assert.rejects(client.messages.create({ model: "quick-openai", max_tokens: 9, messages, ...bad }), (error) => {
      assert.ok(error instanceof BadRequestError, `${name}: ${error}`);
      assert.equal(error.error.error.type, "invalid_request_error");
      assert.ok(error.message.includes(name), error.message);
      return true;
    });
  }
});

test("too few credits are an APIError of status 402", async () => {
  const poor = clientOf(server.keyOf("poor@example.org", 0));
  await assert.rejects(poor.messages.create({ model: "quick-openai", max_tokens: 9, messages }), (error) => {
    assert.ok(error instanceof APIError);
    assert.equal(error.status, 402);
    return true;
  });
});

test("a limit that is reached is a RateLimitError that says when to try again", async () => {
  const busy = clientOf(server.keyOf("busy@example.org", 100));
  await server.admin.limit("busy@example.org", { requests_per_minute: 1 });
  const ask = () => busy.messages.create({ model: "quick-openai", max_tokens: 9, messages });
  await ask();
  await assert.rejects(ask(), (error) => {
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.error.error.type, "rate_limit_error");
    assert.ok(Number(error.headers.get("retry-after")) > 0);
    return true;
  });
});

test("the books are right after all that", async () => {
  const ledger = await server.admin.get("/api/admin/ledger");
  assert.equal(ledger.ok, true);
  assert.equal(ledger.open_holds, 0);
});
