// LangChain's ChatOpenAI works against OneMind with a base URL and a key,
// whichever protocol the engine behind a model speaks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { inputTokens, person, toolArguments } from "../answers.mjs";
import { picture, textOf, vectorOf } from "../upstream.mjs";
import { engines, Server } from "./server.mjs";

let server, key;

const chatOf = (model, more) => new ChatOpenAI({ model, apiKey: key, maxRetries: 0, configuration: { baseURL: `${server.origin}/v1` }, ...more });
const Arguments = z.object({ city: z.string(), days: z.number(), note: z.string() });
const Person = z.object({ name: z.string(), age: z.number() });
const lookUp = tool((input) => `sunny in ${input.city}`, { name: "look_up", description: "Looks up the weather.", schema: Arguments });

before(async () => {
  server = await Server.start();
  key = server.keyOf("sdk@example.org", 1000);
  await server.admin.addModel("embedder", "scripted", "embedder", ["embeddings"]);
});

after(() => server?.stop());

for (const engine of engines) {
  describe(`an engine of the protocol ${engine}`, () => {
    const model = `quick-${engine}`;

    test("invoke answers and counts", async () => {
      const message = await chatOf(model).invoke([new SystemMessage("Be brief."), new HumanMessage("Say something.")]);
      assert.equal(message.text, textOf("quick"));
      assert.equal(message.usage_metadata.input_tokens, inputTokens);
      assert.equal(message.usage_metadata.output_tokens, 40);
      assert.equal(message.response_metadata.finish_reason, "stop");
    });

    test("stream brings the text in parts, and the usage", async () => {
      let all;
      let parts = 0;
      for await (const chunk of await chatOf(model).stream("Say something.")) {
        all = all ? all.concat(chunk) : chunk;
        if (chunk.text) parts++;
      }
      assert.equal(all.text, textOf("quick"));
      assert.ok(parts > 10, `${parts} parts`);
      assert.equal(all.usage_metadata.output_tokens, 40);
      assert.equal(all.response_metadata.finish_reason, "stop");
    });

    test("a tool is called, and its result comes back", async () => {
      const chat = chatOf(model).bindTools([lookUp]);
      const question = new HumanMessage("What is the weather?");
      const asked = await chat.invoke([question]);
      assert.deepEqual(
        asked.tool_calls.map(({ name, args }) => ({ name, args })),
        [{ name: "look_up", args: toolArguments }],
      );
      const result = await lookUp.invoke(asked.tool_calls[0]);
      assert.ok(result instanceof ToolMessage);
      const answered = await chat.invoke([question, asked, result]);
      assert.ok(answered instanceof AIMessage);
      assert.equal(answered.text, "The tool said: sunny in São Paulo");
    });

    test("streamed fragments of a call make its arguments", async () => {
      let all;
      let fragments = 0;
      for await (const chunk of await chatOf(model).bindTools([lookUp]).stream("What is the weather?")) {
        all = all ? all.concat(chunk) : chunk;
        fragments += chunk.tool_call_chunks?.length ?? 0;
      }
      assert.deepEqual(all.tool_calls[0].args, toolArguments);
      assert.ok(fragments >= 1);
    });

    test("structured output by a schema is what the schema says", async () => {
      const made = await chatOf(model).withStructuredOutput(Person, { name: "person", method: "jsonSchema" }).invoke("Who is it?");
      assert.deepEqual(made, person);
    });

    test("structured output by a function is what the schema says", async () => {
      const made = await chatOf(model).withStructuredOutput(Arguments, { name: "look_up", method: "functionCalling" }).invoke("Where?");
      assert.deepEqual(made, toolArguments);
    });

    test("an image arrives", async () => {
      const content = [
        { type: "text", text: "What is it?" },
        { type: "image_url", image_url: { url: `data:image/png;base64,${picture}` } },
      ];
      const message = await chatOf(model).invoke([new HumanMessage({ content })]);
      assert.match(message.text, /^I see image\/png/);
    });

    test("the responses endpoint does the same", async () => {
      const chat = chatOf(model, { useResponsesApi: true });
      const message = await chat.invoke("Say something.");
      assert.equal(message.text, textOf("quick"));
      assert.equal(message.usage_metadata.output_tokens, 40);
      let streamed = "";
      for await (const chunk of await chat.stream("Say something.")) streamed += chunk.text;
      assert.equal(streamed, textOf("quick"));
      const asked = await chat.bindTools([lookUp]).invoke("What is the weather?");
      assert.deepEqual(asked.tool_calls[0].args, toolArguments);
    });

    test("an error carries its status", async () => {
      await assert.rejects(chatOf(`broken-${engine}`).invoke("Say something."), (error) => error.status >= 500);
    });
  });
}

test("embeddings are the provider's vectors", async () => {
  const embeddings = new OpenAIEmbeddings({ model: "embedder", apiKey: key, maxRetries: 0, configuration: { baseURL: `${server.origin}/v1` } });
  assert.deepEqual(await embeddings.embedDocuments(["a", "bcd"]), [vectorOf("a"), vectorOf("bcd")]);
});

test("errors carry their status", async () => {
  await assert.rejects(chatOf("no-such-model").invoke("x"), (error) => error.status === 404);
  await assert.rejects(chatOf("quick-openai", { apiKey: "om_wrong" }).invoke("x"), (error) => error.status === 401);
});
