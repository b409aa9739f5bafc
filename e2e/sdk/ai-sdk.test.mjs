// Vercel's AI SDK works against OneMind with its OpenAI provider (chat and
// responses) and its Anthropic provider, whichever protocol the engine speaks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { inputTokens, person, toolArguments } from "../answers.mjs";
import { picture, textOf, vectorOf } from "../upstream.mjs";
import { engines, Server } from "./server.mjs";

let server, openai, anthropic;

const prompt = "Say something.";
const providers = {
  "openai.chat": (model) => openai.chat(model),
  "openai.responses": (model) => openai.responses(model),
  anthropic: (model) => anthropic(model),
};
/** Responses are not stored here: items go back as they are, not by their ids. */
const stateless = { providerOptions: { openai: { store: false } } };
const tools = {
  look_up: tool({
    description: "Looks up the weather.",
    inputSchema: z.object({ city: z.string(), days: z.number(), note: z.string() }),
    execute: ({ city }) => `sunny in ${city}`,
  }),
};

before(async () => {
  server = await Server.start();
  const settings = { apiKey: server.keyOf("sdk@example.org", 1000), baseURL: `${server.origin}/v1` };
  openai = createOpenAI(settings);
  anthropic = createAnthropic(settings);
  await server.admin.addModel("embedder", "scripted", "embedder", ["embeddings"]);
});

after(() => server?.stop());

for (const engine of engines) {
  for (const [name, modelOf] of Object.entries(providers)) {
    describe(`${name} and an engine of the protocol ${engine}`, () => {
      const ask = (more) => ({ model: modelOf(`quick-${engine}`), maxRetries: 0, maxOutputTokens: 500, ...stateless, ...more });

      test("generateText answers and counts", async () => {
        const result = await generateText(ask({ prompt, system: "Be brief." }));
        assert.equal(result.text, textOf("quick"));
        assert.equal(result.finishReason, "stop");
        assert.equal(result.usage.inputTokens, inputTokens);
        assert.equal(result.usage.outputTokens, 40);
        assert.deepEqual(result.warnings ?? [], []);
      });

      test("streamText brings the text in parts, then the end and the usage", async () => {
        const errors = [];
        const result = streamText(ask({ prompt, onError: ({ error }) => errors.push(error) }));
        const parts = [];
        for await (const part of result.textStream) parts.push(part);
        assert.deepEqual(errors, []);
        assert.equal(parts.join(""), textOf("quick"));
        assert.ok(parts.length > 10, `${parts.length} parts`);
        assert.equal(await result.finishReason, "stop");
        const usage = await result.usage;
        assert.equal(usage.inputTokens, inputTokens);
        assert.equal(usage.outputTokens, 40);
      });

      test("a tool is called, run and answered", async () => {
        const result = await generateText(ask({ prompt, tools, stopWhen: stepCountIs(2) }));
        assert.deepEqual(result.steps[0].toolCalls[0].input, toolArguments);
        assert.equal(result.steps[0].finishReason, "tool-calls");
        assert.equal(result.text, "The tool said: sunny in São Paulo");
      });

      test("a streamed tool call has its arguments, and the next step follows", async () => {
        const errors = [];
        const result = streamText(ask({ prompt, tools, stopWhen: stepCountIs(2), onError: ({ error }) => errors.push(error) }));
        let deltas = "";
        for await (const part of result.fullStream) if (part.type === "tool-input-delta") deltas += part.delta;
        assert.deepEqual(errors, []);
        assert.deepEqual(JSON.parse(deltas), toolArguments);
        assert.equal(await result.text, "The tool said: sunny in São Paulo");
      });

      test("an image arrives", async () => {
        const content = [
          { type: "text", text: "What is it?" },
          { type: "image", image: Buffer.from(picture, "base64"), mediaType: "image/png" },
        ];
        const { text } = await generateText(ask({ messages: [{ role: "user", content }] }));
        assert.match(text, /^I see image\/png/);
      });

      test("a failure is an APICallError", async () => {
        await assert.rejects(generateText(ask({ model: modelOf(`broken-${engine}`), prompt })), (error) => {
          assert.ok(APICallError.isInstance(error), error);
          assert.ok(error.statusCode >= 500);
          return true;
        });
        await assert.rejects(generateText(ask({ model: modelOf("no-such-model"), prompt })), (error) => error.statusCode === 404);
      });
    });
  }

  test(`generateObject makes an object with an engine of the protocol ${engine}`, async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    for (const model of [openai.chat(`quick-${engine}`), openai.responses(`quick-${engine}`)]) {
      const { object } = await generateObject({ model, schema, prompt, maxRetries: 0 });
      assert.deepEqual(object, person);
    }
  });
}

test("an item that would have to be stored is refused with words that say what to do", async () => {
  const ask = { model: openai.responses("quick-openai"), prompt, tools, stopWhen: stepCountIs(2), maxRetries: 0 };
  await assert.rejects(generateText(ask), (error) => {
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /not stored.*'store' is false/);
    return true;
  });
});

test("embedMany gives the provider's vectors", async () => {
  const { embeddings, usage } = await embedMany({ model: openai.embedding("embedder"), values: ["a", "bcd"], maxRetries: 0 });
  assert.deepEqual(
    embeddings.map((vector) => vector.map(Math.fround)),
    [vectorOf("a"), vectorOf("bcd")],
  );
  assert.equal(usage.tokens, 20);
});
