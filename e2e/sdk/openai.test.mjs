// The official OpenAI client works against OneMind with a base URL and a key.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError, UnprocessableEntityError } from "openai";
import { prices, until } from "../admin.mjs";
import { textOf } from "../upstream.mjs";
import { Server } from "./server.mjs";

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

test("the books are right after all that", async () => {
  const ledger = await server.admin.get("/api/admin/ledger");
  assert.equal(ledger.ok, true);
  assert.equal(ledger.open_holds, 0);
});
