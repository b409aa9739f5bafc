// What the scripted provider answers, whichever of the three protocols it is
// asked in. A request becomes an ask, the ask an answer, and the answer the
// protocol's own JSON or events:
//
//   a tool result   "The tool said: …"
//   tools           one call of each of the first two, with arguments that need care
//   a schema        a JSON object
//   an image        what kind of image it is, and its size
//   anything else   the model's words

/** Arguments with everything that breaks when fragments are put together badly. */
export const toolArguments = { city: "São Paulo", days: 3, note: 'a "quoted" \\ line\nand 😀' };

/** What a model that is asked for JSON says. */
export const person = { name: "Ada", age: 36 };

/** What the thinker thinks. */
export const thought = "Let me think about that.";

/** Tokens of input that every answer reports. */
export const inputTokens = 100;

function answerOf(ask, words) {
  const answer = { words, calls: [], thought: ask.model === "thinker" ? thought : "", limited: false };
  if (ask.results.length) answer.words = ["The tool", " said: ", ask.results.join(" ")];
  else if (ask.tools.length) {
    answer.words = ["Let me", " look."];
    answer.calls = ask.tools.slice(0, 2).map((name) => ({ name, arguments: JSON.stringify(toolArguments) }));
  } else if (ask.json) answer.words = JSON.stringify(person).match(/.{1,5}/g);
  else if (ask.images.length) answer.words = ["I see ", ask.images.map((i) => `${i.type} of ${i.bytes} bytes`).join(" and ")];
  if (ask.limit < answer.words.length) [answer.words, answer.calls, answer.limited] = [answer.words.slice(0, ask.limit), [], true];
  answer.output = answer.words.length + answer.calls.length * 10 + (answer.thought ? 5 : 0);
  return answer;
}

const fragments = (text) => text.match(/[^]{1,7}/gu);
const bytesOf = (base64) => Buffer.from(base64, "base64").length;
const list = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : (content ?? []));
const refused = (status, message) => Object.assign(new Error(message), { status });

export const openai = {
  path: /^\/v1\/chat\/completions$/,
  key: (headers) => headers.authorization?.replace(/^Bearer /, ""),
  ask(body) {
    const last = body.messages.at(-1);
    return {
      model: body.model,
      stream: body.stream === true,
      limit: body.max_completion_tokens ?? body.max_tokens ?? Infinity,
      tools: (body.tools ?? []).map((tool) => tool.function.name),
      results: last.role === "tool" ? [list(last.content).map((part) => part.text).join("")] : [],
      images: list(last.content)
        .filter((part) => part.type === "image_url")
        .map(({ image_url: { url } }) => ({ type: url.slice(5, url.indexOf(";")), bytes: bytesOf(url.slice(url.indexOf(",") + 1)) })),
      json: body.response_format?.type === "json_schema" || body.response_format?.type === "json_object",
    };
  },
  base: (id, model) => ({ id: `chatcmpl-${id}`, created: 1_700_000_000, model }),
  usage: (answer) => ({
    prompt_tokens: inputTokens,
    completion_tokens: answer.output,
    total_tokens: inputTokens + answer.output,
    completion_tokens_details: { reasoning_tokens: answer.thought ? 5 : 0 },
  }),
  finish: (answer) => (answer.limited ? "length" : answer.calls.length ? "tool_calls" : "stop"),
  whole(id, ask, answer) {
    const message = { role: "assistant", content: answer.words.join(""), refusal: null };
    if (answer.thought) message.reasoning_content = answer.thought;
    if (answer.calls.length) message.tool_calls = answer.calls.map((call, i) => ({ id: `call_${i}`, type: "function", function: call }));
    const choices = [{ index: 0, message, logprobs: null, finish_reason: this.finish(answer) }];
    return { ...this.base(id, ask.model), object: "chat.completion", choices, usage: this.usage(answer) };
  },
  *events(id, ask, answer) {
    const chunk = (choices, more) => ({ data: { ...this.base(id, ask.model), object: "chat.completion.chunk", choices, ...more } });
    const delta = (delta, finish_reason = null) => chunk([{ index: 0, delta, finish_reason }]);
    yield delta({ role: "assistant", content: "" });
    if (answer.thought) yield delta({ reasoning_content: answer.thought });
    for (const content of answer.words) yield { ...delta({ content }), paced: true };
    for (const [index, call] of answer.calls.entries()) {
      yield delta({ tool_calls: [{ index, id: `call_${index}`, type: "function", function: { name: call.name, arguments: "" } }] });
      for (const part of fragments(call.arguments)) yield delta({ tool_calls: [{ index, function: { arguments: part } }] });
    }
    yield delta({}, this.finish(answer));
    yield chunk([], { usage: this.usage(answer) });
    yield { text: "[DONE]" };
  },
  error: (status, message) => ({ error: { message, type: status < 500 ? "invalid_request_error" : "server_error", param: null, code: null } }),
};

export const anthropic = {
  path: /^\/v1\/messages$/,
  key: (headers) => headers["x-api-key"] ?? headers.authorization?.replace(/^Bearer /, ""), // newer clients send a bearer token
  ask(body, { headers }) {
    if (!headers["anthropic-version"]) throw refused(400, "anthropic-version: header is required");
    if (!(body.max_tokens > 0)) throw refused(400, "max_tokens: Field required");
    if (body.messages[0].role !== "user") throw refused(400, "messages: first message must use the user role");
    const last = list(body.messages.at(-1).content);
    const results = last.filter((part) => part.type === "tool_result");
    for (const { tool_use_id } of results) {
      const uses = list(body.messages.at(-2)?.content).filter((part) => part.type === "tool_use");
      if (!uses.some((use) => use.id === tool_use_id)) throw refused(400, `messages: unexpected tool_use_id ${tool_use_id}`);
    }
    return {
      model: body.model,
      stream: body.stream === true,
      limit: body.max_tokens,
      tools: (body.tools ?? []).map((tool) => tool.name),
      results: results.map((part) => list(part.content).map((inner) => inner.text).join("")),
      images: last.filter((part) => part.type === "image").map(({ source }) => ({ type: source.media_type, bytes: bytesOf(source.data) })),
      json: Boolean(body.output_format ?? body.output_config?.format),
    };
  },
  usage: (answer) => ({ input_tokens: inputTokens, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: answer.output }),
  finish: (answer) => (answer.limited ? "max_tokens" : answer.calls.length ? "tool_use" : "end_turn"),
  message: (id, ask, more) => ({ id: `msg_${id}`, type: "message", role: "assistant", model: ask.model, stop_sequence: null, ...more }),
  whole(id, ask, answer) {
    const content = [{ type: "text", text: answer.words.join("") }];
    if (answer.thought) content.unshift({ type: "thinking", thinking: answer.thought, signature: "c2lnbmVk" });
    for (const [i, call] of answer.calls.entries()) {
      content.push({ type: "tool_use", id: `toolu_${i}`, name: call.name, input: JSON.parse(call.arguments) });
    }
    return this.message(id, ask, { content, stop_reason: this.finish(answer), usage: this.usage(answer) });
  },
  *events(id, ask, answer) {
    const event = (type, more) => ({ type, data: { type, ...more } });
    let index = 0;
    const block = function* (content_block, deltas, paced) {
      yield event("content_block_start", { index, content_block });
      for (const delta of deltas) yield { ...event("content_block_delta", { index, delta }), paced };
      yield event("content_block_stop", { index });
      index++;
    };
    const usage = { ...this.usage(answer), output_tokens: 1 };
    yield event("message_start", { message: this.message(id, ask, { content: [], stop_reason: null, usage }) });
    yield event("ping", {});
    if (answer.thought) {
      const deltas = [
        { type: "thinking_delta", thinking: answer.thought },
        { type: "signature_delta", signature: "c2lnbmVk" },
      ];
      yield* block({ type: "thinking", thinking: "", signature: "" }, deltas);
    }
    yield* block({ type: "text", text: "" }, answer.words.map((text) => ({ type: "text_delta", text })), true);
    for (const [i, call] of answer.calls.entries()) {
      const deltas = ["", ...fragments(call.arguments)].map((partial_json) => ({ type: "input_json_delta", partial_json }));
      yield* block({ type: "tool_use", id: `toolu_${i}`, name: call.name, input: {} }, deltas);
    }
    yield event("message_delta", { delta: { stop_reason: this.finish(answer), stop_sequence: null }, usage: { output_tokens: answer.output } });
    yield event("message_stop", {});
  },
  error: (status, message) => ({
    type: "error",
    error: { type: status === 404 ? "not_found_error" : status < 500 ? "invalid_request_error" : "api_error", message },
    request_id: "req_scripted",
  }),
};

export const gemini = {
  path: /^\/v1beta\/models\/([^/:]+):(generateContent|streamGenerateContent)(?:\?(.*))?$/,
  key: (headers) => headers["x-goog-api-key"],
  ask(body, { match }) {
    const [, model, method, query] = match;
    const stream = method === "streamGenerateContent";
    if (stream && query !== "alt=sse") throw refused(400, "The scripted provider streams with alt=sse alone.");
    const config = body.generationConfig ?? {};
    const last = body.contents.at(-1).parts;
    return {
      model,
      stream,
      limit: config.maxOutputTokens ?? Infinity,
      tools: (body.tools ?? []).flatMap((tool) => (tool.functionDeclarations ?? []).map((declared) => declared.name)),
      results: last.filter((part) => part.functionResponse).map((part) => Object.values(part.functionResponse.response).join(" ")),
      images: last.filter((part) => part.inlineData).map(({ inlineData }) => ({ type: inlineData.mimeType, bytes: bytesOf(inlineData.data) })),
      json: config.responseMimeType === "application/json",
    };
  },
  response: (id, ask, parts, finishReason, usage) => ({
    candidates: [{ content: { parts, role: "model" }, ...(finishReason && { finishReason }), index: 0 }],
    usageMetadata: usage,
    modelVersion: ask.model,
    responseId: `r${id}`,
  }),
  usage(answer, output = answer.output) {
    const thoughts = answer.thought ? 5 : 0;
    const usage = { promptTokenCount: inputTokens, candidatesTokenCount: output - thoughts, totalTokenCount: inputTokens + output };
    return thoughts ? { ...usage, thoughtsTokenCount: thoughts } : usage;
  },
  finish: (answer) => (answer.limited ? "MAX_TOKENS" : "STOP"),
  call: (call) => ({ functionCall: { name: call.name, args: JSON.parse(call.arguments) }, thoughtSignature: "c2lnbmVk" }),
  whole(id, ask, answer) {
    const parts = [{ text: answer.words.join("") }, ...answer.calls.map(this.call)];
    if (answer.thought) parts.unshift({ text: answer.thought, thought: true });
    return this.response(id, ask, parts, this.finish(answer), this.usage(answer));
  },
  *events(id, ask, answer) {
    const thoughts = answer.thought ? 5 : 0;
    const event = (parts, output, finish) => ({ data: this.response(id, ask, parts, finish, this.usage(answer, output)), paced: true });
    if (answer.thought) yield event([{ text: answer.thought, thought: true }], thoughts);
    for (const [i, text] of answer.words.entries()) yield event([{ text }], thoughts + i + 1);
    for (const call of answer.calls) yield event([this.call(call)], answer.output);
    yield event([{ text: "" }], answer.output, this.finish(answer));
  },
  error: (status, message) => ({
    error: { code: status, message, status: { 400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED" }[status] ?? "INTERNAL" },
  }),
};

export const protocols = { openai, anthropic, gemini };

/** Answers an ask; `words` are the model's own, `pause` the milliseconds between two of them. */
export async function reply(res, id, protocol, ask, words, pause) {
  const answer = answerOf(ask, words);
  if (!ask.stream) {
    res.setHeader("Content-Type", "application/json");
    return res.end(JSON.stringify(protocol.whole(id, ask, answer)));
  }
  res.setHeader("Content-Type", "text/event-stream");
  for (const { type, data, text, paced } of protocol.events(id, ask, answer)) {
    res.write(`${type ? `event: ${type}\n` : ""}data: ${text ?? JSON.stringify(data)}\n\n`);
    if (paced && pause) await new Promise((resolve) => setTimeout(resolve, pause));
    if (res.destroyed) return;
  }
  res.end();
}
