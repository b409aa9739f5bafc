// The official OpenAI client works against OneMind with a base URL and a key,
// whichever protocol the engine behind a model speaks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError, UnprocessableEntityError, toFile } from "openai";
import { Stream } from "openai/streaming";
import { prices, until } from "../admin.mjs";
import { inputTokens, person, thought, toolArguments } from "../answers.mjs";
import { picture, textOf, vectorOf } from "../upstream.mjs";
import { engines, personSchema, Server, toolSchema } from "./server.mjs";

let server, key, client;

const clientOf = (apiKey) => new OpenAI({ apiKey, baseURL: `${server.origin}/v1`, maxRetries: 0 });
const messages = [{ role: "user", content: "Say something." }];

before(async () => {
  server = await Server.start();
  key = server.keyOf("sdk@example.org", 1000);
  client = clientOf(key);
});

after(() => server?.stop());

const receiptOf = async (id) => {
  const response = await fetch(`${server.origin}/v1/receipts/${id}`, { headers: { Authorization: `Bearer ${key}` } });
  return response.ok ? response.json() : undefined;
};

test("the key is printed alone", () => assert.match(key, /^om_\S+$/));

test("models.list names the models that can be called", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("demo"), "demo");
  assert.ok(ids.includes("steady"), "steady");
  assert.ok(!ids.includes("gpt-4o"), "a model whose provider has no key is not listed");
});

test("models.retrieve gives one model", async () => {
  const model = await client.models.retrieve("steady");
  assert.equal(model.id, "steady");
  assert.equal(model.object, "model");
  assert.equal(model.owned_by, "scripted");
});

test("chat.completions.create answers, counts and charges", async () => {
  const { data, response } = await client.chat.completions.create({ model: "quick", messages }).withResponse();
  assert.equal(data.choices[0].message.content, textOf("quick"));
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.deepEqual([data.usage.prompt_tokens, data.usage.completion_tokens, data.usage.total_tokens], [100, 40, 140]);
  const cost = (100 * prices.input_nano_usd + 40 * prices.output_nano_usd) / 1e6;
  assert.equal(Number(response.headers.get("x-onemind-charge")), cost * 1.3);
  const receipt = await receiptOf(response.headers.get("x-request-id"));
  assert.equal(receipt.charge_nano_usd, cost * 1.3);
  assert.equal(receipt.counted_by, "provider");
});

test("the offline engine answers without any provider", async () => {
  const completion = await client.chat.completions.create({ model: "demo", messages });
  assert.ok(completion.choices[0].message.content.length > 0);
});

test("a stream brings the text, then the usage and the receipt", async () => {
  const stream = await client.chat.completions.create({ model: "steady", messages, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let last;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.equal(text, textOf("steady"));
  assert.equal(last.usage.total_tokens, 140);
  assert.equal(last.onemind.outcome, "finished");
  assert.ok(last.onemind.charge_nano_usd > 0);
});

test("the stream helper puts the same answer together", async () => {
  const completion = await client.chat.completions.stream({ model: "quick", messages }).finalChatCompletion();
  assert.equal(completion.choices[0].message.content, textOf("quick"));
});

test("a stream that is given up ends the provider's call within a second and costs what was delivered", async () => {
  const { aborted } = await server.calls();
  const { data: stream, response } = await client.chat.completions.create({ model: "slow", messages, stream: true }).withResponse();
  let chunks = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content && ++chunks === 10) break;
  }
  stream.controller.abort();
  await until(async () => (await server.calls()).aborted === aborted + 1, "the provider's connection to close", 1000);
  const receipt = await until(() => receiptOf(response.headers.get("x-request-id")), "the receipt");
  assert.equal(receipt.outcome, "stopped");
  assert.ok(receipt.charge_nano_usd > 0);
  assert.ok(receipt.tokens.output >= 10 && receipt.tokens.output < 400, `${receipt.tokens.output} tokens of output`);
});

test("a resumable stream that broke off is picked up again, and the client reads it", async () => {
  const { data: stream, response } = await client.chat.completions.create({ model: "steady", messages, stream: true, resumable: true }).withResponse();
  let chunks = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content && ++chunks === 3) break;
  }
  stream.controller.abort();
  const id = response.headers.get("x-request-id");
  const again = await fetch(`${server.origin}/v1/streams/${id}`, { headers: { Authorization: `Bearer ${key}` } });
  let text = "";
  let last;
  for await (const chunk of Stream.fromSSEResponse(again, new AbortController())) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.equal(text, textOf("steady"));
  assert.equal(last.onemind.outcome, "finished");
  assert.equal((await receiptOf(id)).charge_nano_usd, last.onemind.charge_nano_usd);
});

test("a wrong key is an AuthenticationError", async () => {
  await assert.rejects(clientOf("om_wrong").models.list(), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.equal(error.status, 401);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
});

test("an unknown model is a NotFoundError", async () => {
  await assert.rejects(client.models.retrieve("no-such-model"), NotFoundError);
  await assert.rejects(client.chat.completions.create({ model: "no-such-model", messages }), NotFoundError);
});

test("a bad parameter is refused by name", async () => {
  await assert.rejects(client.chat.completions.create({ model: "quick", messages, temperature: 9 }), (error) => {
    assert.ok(error instanceof BadRequestError || error instanceof UnprocessableEntityError, error);
    assert.equal(error.param, "temperature");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ model: "quick", messages: [] }), (error) => {
    assert.ok(error instanceof BadRequestError || error instanceof UnprocessableEntityError, error);
    assert.equal(error.param, "messages");
    return true;
  });
});

test("too few credits are an APIError of status 402, and nothing is charged", async () => {
  const poor = clientOf(server.keyOf("poor@example.org", 0));
  await assert.rejects(poor.chat.completions.create({ model: "quick", messages }), (error) => {
    assert.ok(error instanceof APIError);
    assert.equal(error.status, 402);
    assert.equal(error.code, "credit_short");
    return true;
  });
});

test("a limit that is reached is a RateLimitError that says when to try again", async () => {
  const busy = clientOf(server.keyOf("busy@example.org", 100));
  await server.admin.limit("busy@example.org", { requests_per_minute: 1 });
  const ask = () => busy.chat.completions.create({ model: "quick", messages });
  await ask();
  await assert.rejects(ask(), (error) => {
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.code, "rate_limited");
    assert.ok(Number(error.headers.get("retry-after")) > 0);
    return true;
  });
});

test("a provider's failure is a server error and free", async () => {
  const { balance_nano_usd: before } = await server.admin.get(`/api/admin/users/${await server.admin.userId("sdk@example.org")}`);
  await assert.rejects(client.chat.completions.create({ model: "broken", messages }), (error) => {
    assert.ok(error instanceof APIError);
    assert.ok(error.status >= 500, String(error.status));
    assert.match(error.message, /Broken/);
    return true;
  });
  const { balance_nano_usd: now } = await server.admin.get(`/api/admin/users/${await server.admin.userId("sdk@example.org")}`);
  assert.equal(now, before);
});

const names = ["look_up", "note_down"];
const tools = names.map((name) => ({ type: "function", function: { name, description: `To ${name}.`, parameters: toolSchema } }));
const flatTools = tools.map((one) => ({ type: "function", strict: false, ...one.function }));

for (const engine of engines) {
  describe(`chat completions of an engine of the protocol ${engine}`, () => {
    const model = `quick-${engine}`;

    test("an answer, its end and its usage", async () => {
      const completion = await client.chat.completions.create({ model, messages });
      assert.equal(completion.object, "chat.completion");
      assert.equal(completion.choices[0].message.content, textOf("quick"));
      assert.equal(completion.choices[0].finish_reason, "stop");
      assert.equal(completion.usage.prompt_tokens, inputTokens);
      assert.equal(completion.usage.completion_tokens, 40);
    });

    test("a stream: the text, one end, the usage last", async () => {
      const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), textOf("quick"));
      assert.deepEqual(chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean), ["stop"]);
      assert.deepEqual(chunks.at(-1).choices, []);
      assert.equal(chunks.at(-1).usage.total_tokens, inputTokens + 40);
      assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1, "one id");
    });

    test("instructions, stop sequences and sampling arrive at the provider", async () => {
      const turns = [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Say something." },
        { role: "assistant", content: "I did." },
        { role: "user", content: [{ type: "text", text: "And again?" }] },
      ];
      await client.chat.completions.create({ model, messages: turns, stop: ["END"], temperature: 0.5, max_tokens: 500 });
      const sent = JSON.stringify((await server.last()).body);
      for (const word of ["Be brief.", "END", "0.5", "Say something.", "I did.", "And again?"]) {
        assert.ok(sent.includes(word), `${word} in ${sent}`);
      }
    });

    test("tools are called, and their results come back", async () => {
      const asked = await client.chat.completions.create({ model, messages, tools });
      const { message, finish_reason } = asked.choices[0];
      assert.equal(finish_reason, "tool_calls");
      assert.deepEqual(
        message.tool_calls.map((call) => [call.type, call.function.name, JSON.parse(call.function.arguments)]),
        names.map((name) => ["function", name, toolArguments]),
      );
      assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2, "the calls have ids of their own");
      const results = message.tool_calls.map((call, i) => ({ role: "tool", tool_call_id: call.id, content: `result ${i}` }));
      const answered = await client.chat.completions.create({ model, messages: [...messages, message, ...results], tools });
      assert.match(answered.choices[0].message.content, /^The tool said: .*result 1/);
      assert.equal(answered.choices[0].finish_reason, "stop");
    });

    test("streamed arguments of tools are JSON when they are put together", async () => {
      const stream = await client.chat.completions.create({ model, messages, tools, stream: true });
      const calls = [];
      let end;
      for await (const { choices } of stream) {
        end = choices[0]?.finish_reason ?? end;
        for (const delta of choices[0]?.delta.tool_calls ?? []) {
          const call = (calls[delta.index] ??= { id: delta.id, name: delta.function.name, text: "" });
          call.text += delta.function.arguments ?? "";
        }
      }
      assert.equal(end, "tool_calls");
      assert.deepEqual(
        calls.map((call) => [call.name, JSON.parse(call.text)]),
        names.map((name) => [name, toolArguments]),
      );
      assert.ok(calls.every((call) => call.id));
    });

    test("an image arrives", async () => {
      const content = [
        { type: "text", text: "What is it?" },
        { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } },
      ];
      const completion = await client.chat.completions.create({ model, messages: [{ role: "user", content }] });
      assert.equal(completion.choices[0].message.content, `I see image/png of ${Buffer.from(picture, "base64").length} bytes`);
    });

    test("structured output is JSON of the schema", async () => {
      const response_format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: personSchema } };
      const completion = await client.chat.completions.parse({ model, messages, response_format });
      assert.deepEqual(completion.choices[0].message.parsed, person);
    });

    test("max_tokens ends an answer, and it says so", async () => {
      const completion = await client.chat.completions.create({ model, messages, max_tokens: 3 });
      assert.equal(completion.choices[0].finish_reason, "length");
      assert.equal(completion.usage.completion_tokens, 3);
    });

    test("reasoning comes beside the text", async () => {
      const completion = await client.chat.completions.create({ model: `thinker-${engine}`, messages });
      assert.equal(completion.choices[0].message.reasoning_content, thought);
      assert.equal(completion.choices[0].message.content, textOf("thinker"));
    });

    test("a provider that is busy is an error that says when to try again", async () => {
      await assert.rejects(client.chat.completions.create({ model: `busy-${engine}`, messages }), (error) => {
        assert.ok(error instanceof APIError);
        assert.ok([429, 503].includes(error.status), String(error.status));
        assert.ok(Number(error.headers.get("retry-after")) > 0);
        return true;
      });
    });
  });

  describe(`responses of an engine of the protocol ${engine}`, () => {
    const model = `quick-${engine}`;
    const input = "Say something.";

    test("responses.create answers and counts", async () => {
      const response = await client.responses.create({ model, input, instructions: "Be brief." });
      assert.equal(response.object, "response");
      assert.equal(response.status, "completed");
      assert.equal(response.output_text, textOf("quick"));
      assert.equal(response.usage.input_tokens, inputTokens);
      assert.equal(response.usage.output_tokens, 40);
      assert.equal(response.usage.total_tokens, inputTokens + 40);
      assert.ok(JSON.stringify((await server.last()).body).includes("Be brief."));
    });

    test("a stream has numbered events, and its end is the whole response", async () => {
      const events = [];
      for await (const event of await client.responses.create({ model, input, stream: true })) events.push(event);
      assert.equal(events[0].type, "response.created");
      assert.deepEqual(
        events.map((event) => event.sequence_number),
        events.map((_, i) => events[0].sequence_number + i),
      );
      const deltas = events.filter((event) => event.type === "response.output_text.delta");
      assert.ok(deltas.length > 10, `${deltas.length} deltas`);
      assert.equal(deltas.map((event) => event.delta).join(""), textOf("quick"));
      assert.equal(events.find((event) => event.type === "response.output_text.done").text, textOf("quick"));
      const end = events.at(-1);
      assert.equal(end.type, "response.completed");
      assert.equal(end.response.output.find((item) => item.type === "message").content[0].text, textOf("quick"));
      assert.equal(end.response.usage.output_tokens, 40);
      const added = events.filter((event) => event.type === "response.output_item.added").length;
      assert.equal(events.filter((event) => event.type === "response.output_item.done").length, added);
    });

    test("functions are called, and their results come back", async () => {
      const asked = await client.responses.create({ model, input, tools: flatTools });
      const calls = asked.output.filter((item) => item.type === "function_call");
      assert.deepEqual(
        calls.map((call) => [call.name, JSON.parse(call.arguments)]),
        names.map((name) => [name, toolArguments]),
      );
      const outputs = calls.map((call, i) => ({ type: "function_call_output", call_id: call.call_id, output: `result ${i}` }));
      const turns = [{ role: "user", content: input }, ...asked.output, ...outputs];
      const answered = await client.responses.create({ model, input: turns, tools: flatTools });
      assert.match(answered.output_text, /^The tool said: .*result 1/);
    });

    test("streamed arguments of functions are JSON when they are put together", async () => {
      const stream = client.responses.stream({ model, input, tools: flatTools });
      const texts = {};
      for await (const event of stream) {
        if (event.type === "response.function_call_arguments.delta") texts[event.output_index] = (texts[event.output_index] ?? "") + event.delta;
      }
      assert.deepEqual(
        Object.values(texts).map((text) => JSON.parse(text)),
        [toolArguments, toolArguments],
      );
      const calls = (await stream.finalResponse()).output.filter((item) => item.type === "function_call");
      assert.deepEqual(
        calls.map((call) => JSON.parse(call.arguments)),
        [toolArguments, toolArguments],
      );
    });

    test("an image arrives", async () => {
      const content = [
        { type: "input_text", text: "What is it?" },
        { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${picture}` },
      ];
      const response = await client.responses.create({ model, input: [{ role: "user", content }] });
      assert.match(response.output_text, /^I see image\/png/);
    });

    test("structured output is JSON of the schema", async () => {
      const text = { format: { type: "json_schema", name: "person", strict: true, schema: personSchema } };
      const response = await client.responses.parse({ model, input, text });
      assert.deepEqual(response.output_parsed, person);
    });

    test("max_output_tokens leaves a response incomplete, and it says so", async () => {
      const response = await client.responses.create({ model, input, max_output_tokens: 16 });
      assert.equal(response.status, "incomplete");
      assert.equal(response.incomplete_details.reason, "max_output_tokens");
    });

    test("a provider's failure is a typed error", async () => {
      await assert.rejects(client.responses.create({ model: `broken-${engine}`, input }), (error) => {
        assert.ok(error instanceof APIError);
        assert.ok(error.status >= 500, String(error.status));
        return true;
      });
    });
  });
}

test("what responses cannot keep is refused by name", async () => {
  for (const [param, more] of [
    ["previous_response_id", { previous_response_id: "resp_1" }],
    ["background", { background: true }],
    ["tools[0].type", { tools: [{ type: "web_search" }] }],
  ]) {
    await assert.rejects(client.responses.create({ model: "quick-openai", input: "x", ...more }), (error) => {
      assert.ok(error instanceof BadRequestError || error instanceof UnprocessableEntityError, `${param}: ${error}`);
      assert.ok(error.param.startsWith(param.split("[")[0]), error.param);
      return true;
    });
  }
});

test("embeddings.create gives the provider's vectors, in numbers and in base64", async () => {
  await server.admin.addModel("embedder", "scripted", "embedder", ["embeddings"]);
  const input = ["one", "and two"];
  const usual = await client.embeddings.create({ model: "embedder", input }); // this client asks for base64 and decodes it
  const plain = await client.embeddings.create({ model: "embedder", input, encoding_format: "float" });
  for (const { data, usage } of [usual, plain]) {
    assert.deepEqual(
      data.map((one) => Array.from(one.embedding, Math.fround)),
      input.map(vectorOf),
    );
    assert.equal(usage.prompt_tokens, 20);
  }
  await assert.rejects(client.embeddings.create({ model: "quick", input }), (error) => error instanceof APIError && error.status < 500);
  await assert.rejects(client.chat.completions.create({ model: "embedder", messages }), (error) => error instanceof APIError && error.status < 500);
});

test("images.generate gives the provider's images, and each is paid", async () => {
  const images = { prices: { ...prices, per_image_nano_usd: 40_000_000 } };
  await server.admin.addModel("painter", "scripted", "painter", ["image_generation"], images);
  const { data, response } = await client.images.generate({ model: "painter", prompt: "a bird", n: 2 }).withResponse();
  assert.deepEqual(
    data.data.map((image) => image.b64_json),
    [picture, picture],
  );
  assert.ok(Number(response.headers.get("x-onemind-charge")) >= 2 * 40_000_000 * 1.3);
});

test("audio.transcriptions.create gives the provider's text", async () => {
  await server.admin.addModel("scribe", "scripted", "scribe", ["transcription"]);
  const file = await toFile(Buffer.alloc(4000, 1), "speech.mp3", { type: "audio/mpeg" });
  const { data, response } = await client.audio.transcriptions.create({ model: "scribe", file, language: "en" }).withResponse();
  assert.equal(data.text, "speech.mp3, 4000 bytes, in en");
  assert.ok(Number(response.headers.get("x-onemind-charge")) > 0);
});

test("the books are right after all that", async () => {
  const ledger = await server.admin.get("/api/admin/ledger");
  assert.equal(ledger.ok, true);
  assert.equal(ledger.open_holds, 0);
});
