// The official Google Gen AI client works against OneMind with a base URL and a
// key, whichever protocol the engine behind a model speaks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from "@google/genai";
import { inputTokens, thought, toolArguments } from "../answers.mjs";
import { picture, textOf } from "../upstream.mjs";
import { engines, personSchema, Server, toolSchema } from "./server.mjs";

let server, key, client;

const clientOf = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: server.origin } });
const contents = "Say something.";
const tools = [
  { functionDeclarations: ["look_up", "note_down"].map((name) => ({ name, description: `To ${name}.`, parametersJsonSchema: toolSchema })) },
];

before(async () => {
  server = await Server.start();
  key = server.keyOf("sdk@example.org", 1000);
  client = clientOf(key);
});

after(() => server?.stop());

const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};

const status = (wanted) => (error) => {
  assert.ok(error instanceof ApiError, error);
  assert.ok([wanted].flat().includes(error.status), `${error.status}: ${error.message}`);
  assert.equal(JSON.parse(error.message).error.code, error.status);
  assert.ok(!error.message.includes("sk-scripted"));
  return true;
};

for (const engine of engines) {
  describe(`an engine of the protocol ${engine}`, () => {
    const model = `quick-${engine}`;

    test("generateContent answers and counts", async () => {
      const response = await client.models.generateContent({ model, contents });
      assert.equal(response.text, textOf("quick"));
      assert.equal(response.candidates[0].finishReason, "STOP");
      assert.equal(response.candidates[0].content.role, "model");
      assert.equal(response.usageMetadata.promptTokenCount, inputTokens);
      assert.equal(response.usageMetadata.candidatesTokenCount, 40);
      assert.equal(response.usageMetadata.totalTokenCount, inputTokens + 40);
      assert.ok(Number(response.sdkHttpResponse.headers["x-onemind-charge"]) > 0);
    });

    test("generateContentStream brings the text, then the end and the usage", async () => {
      const chunks = await collect(await client.models.generateContentStream({ model, contents }));
      assert.equal(chunks.map((chunk) => chunk.text ?? "").join(""), textOf("quick"));
      assert.ok(chunks.length > 10, `${chunks.length} chunks`);
      const reasons = chunks.map((chunk) => chunk.candidates?.[0]?.finishReason).filter(Boolean);
      assert.deepEqual(reasons, ["STOP"]);
      const usage = chunks.findLast((chunk) => chunk.usageMetadata).usageMetadata;
      assert.equal(usage.promptTokenCount, inputTokens);
      assert.equal(usage.candidatesTokenCount, 40);
    });

    test("instructions, stop sequences and sampling arrive at the provider", async () => {
      const config = { systemInstruction: "Be brief.", stopSequences: ["END"], temperature: 0.5, maxOutputTokens: 500 };
      const turns = ["Say something.", "I did.", "And again?"].map((text, i) => ({ role: i % 2 ? "model" : "user", parts: [{ text }] }));
      await client.models.generateContent({ model, contents: turns, config });
      const sent = JSON.stringify((await server.last()).body);
      for (const word of ["Be brief.", "END", "0.5", "Say something.", "I did.", "And again?"]) {
        assert.ok(sent.includes(word), `${word} in ${sent}`);
      }
    });

    test("functions are called, and their results come back", async () => {
      const config = { tools, toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO } } };
      const asked = await client.models.generateContent({ model, contents, config });
      assert.deepEqual(
        asked.functionCalls.map(({ name, args }) => ({ name, args })),
        ["look_up", "note_down"].map((name) => ({ name, args: toolArguments })),
      );
      const parts = asked.functionCalls.map(({ id, name }, i) => ({ functionResponse: { id, name, response: { output: `result ${i}` } } }));
      const turns = [{ role: "user", parts: [{ text: contents }] }, asked.candidates[0].content, { role: "user", parts }];
      const answered = await client.models.generateContent({ model, contents: turns, config });
      assert.match(answered.text, /^The tool said: .*result 1/);
      assert.equal(answered.candidates[0].finishReason, "STOP");
    });

    test("streamed function calls come whole", async () => {
      const chunks = await collect(await client.models.generateContentStream({ model, contents, config: { tools } }));
      const calls = chunks.flatMap((chunk) => chunk.functionCalls ?? []);
      assert.deepEqual(
        calls.map(({ name, args }) => ({ name, args })),
        ["look_up", "note_down"].map((name) => ({ name, args: toolArguments })),
      );
      assert.equal(chunks.findLast((chunk) => chunk.candidates?.[0]?.finishReason).candidates[0].finishReason, "STOP");
    });

    test("an image arrives", async () => {
      const parts = [{ text: "What is it?" }, { inlineData: { mimeType: "image/png", data: picture } }];
      const response = await client.models.generateContent({ model, contents: [{ role: "user", parts }] });
      assert.equal(response.text, `I see image/png of ${Buffer.from(picture, "base64").length} bytes`);
    });

    test("maxOutputTokens ends an answer, and it says so", async () => {
      const response = await client.models.generateContent({ model, contents, config: { maxOutputTokens: 3 } });
      assert.equal(response.candidates[0].finishReason, "MAX_TOKENS");
      assert.equal(response.usageMetadata.candidatesTokenCount, 3);
    });

    test("thoughts come as parts of their own", async () => {
      const config = { thinkingConfig: { includeThoughts: true } };
      const whole = await client.models.generateContent({ model: `thinker-${engine}`, contents, config });
      assert.equal(whole.text, textOf("thinker"));
      assert.deepEqual(
        whole.candidates[0].content.parts.filter((part) => part.thought).map((part) => part.text),
        [thought],
      );
      const chunks = await collect(await client.models.generateContentStream({ model: `thinker-${engine}`, contents, config }));
      const parts = chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? []);
      const textIn = (thinking) =>
        parts
          .filter((part) => Boolean(part.thought) === thinking)
          .map((part) => part.text ?? "")
          .join("");
      assert.equal(textIn(true), thought);
      assert.equal(textIn(false), textOf("thinker"));
    });

    test("structured output is JSON of the schema", async () => {
      const config = { responseMimeType: "application/json", responseJsonSchema: personSchema };
      const response = await client.models.generateContent({ model, contents, config });
      assert.deepEqual(JSON.parse(response.text), { name: "Ada", age: 36 });
    });

    test("countTokens counts", async () => {
      const { totalTokens: short } = await client.models.countTokens({ model, contents });
      const { totalTokens: long } = await client.models.countTokens({ model, contents: "word ".repeat(500) });
      assert.ok(short > 0 && long > short + 300, `${short} and ${long}`);
    });

    test("a chat keeps its turns", async () => {
      const chat = client.chats.create({ model });
      await chat.sendMessage({ message: "One." });
      const second = await chat.sendMessage({ message: "Two." });
      assert.equal(second.text, textOf("quick"));
      const sent = JSON.stringify((await server.last()).body);
      assert.ok(sent.includes("One.") && sent.includes("Two."), sent);
    });

    test("a provider's failure is an ApiError", async () => {
      await assert.rejects(client.models.generateContent({ model: `broken-${engine}`, contents }), status([500, 502, 503]));
      await assert.rejects(client.models.generateContentStream({ model: `busy-${engine}`, contents }), status([429, 503]));
    });
  });
}

test("members that only Gemini knows reach a provider of its protocol as they are", async () => {
  const safetySettings = [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_ONLY_HIGH" }];
  await client.models.generateContent({ model: "quick-gemini", contents, config: { safetySettings, topK: 5, seed: 7 } });
  const { body, headers } = await server.last();
  assert.deepEqual(body.safetySettings, safetySettings);
  assert.equal(body.generationConfig.topK, 5);
  assert.equal(body.generationConfig.seed, 7);
  assert.equal(headers["x-goog-api-key"], "sk-scripted");
});

test("models.list and models.get name the models that can be called", async () => {
  const names = [];
  for await (const model of await client.models.list()) names.push(model.name);
  assert.ok(names.includes("models/quick-anthropic"), names.join());
  const model = await client.models.get({ model: "quick-anthropic" });
  assert.equal(model.name, "models/quick-anthropic");
  assert.equal(model.outputTokenLimit, 4000);
  assert.ok(model.supportedActions.includes("generateContent"), model.supportedActions);
});

test("errors are ApiErrors of their status", async () => {
  await assert.rejects(clientOf("om_wrong").models.generateContent({ model: "quick-gemini", contents }), status(401));
  await assert.rejects(client.models.generateContent({ model: "no-such-model", contents }), status(404));
  await assert.rejects(client.models.get({ model: "no-such-model" }), status(404));
  await assert.rejects(client.models.generateContent({ model: "quick-gemini", contents, config: { temperature: 9 } }), status(400));
  const poor = clientOf(server.keyOf("poor@example.org", 0));
  await assert.rejects(poor.models.generateContent({ model: "quick-gemini", contents }), status(402));
  const busy = clientOf(server.keyOf("busy@example.org", 100));
  await server.admin.limit("busy@example.org", { requests_per_minute: 1 });
  await busy.models.generateContent({ model: "quick-gemini", contents });
  await assert.rejects(busy.models.generateContent({ model: "quick-gemini", contents }), status(429));
});

test("the key may not stand in the URL", async () => {
  const body = JSON.stringify({ contents: [{ parts: [{ text: contents }] }] });
  const ask = (query, headers) =>
    fetch(`${server.origin}/v1beta/models/quick-gemini:generateContent${query}`, { method: "POST", body, headers: { "Content-Type": "application/json", ...headers } });
  assert.equal((await ask("", { "x-goog-api-key": key })).status, 200);
  assert.equal((await ask(`?key=${key}`)).status, 401);
});

test("the books are right after all that", async () => {
  const ledger = await server.admin.get("/api/admin/ledger");
  assert.equal(ledger.ok, true);
  assert.equal(ledger.open_holds, 0);
});
