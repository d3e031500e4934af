// Drives a server with the Vercel AI SDK over its providers; prints what each saw as one JSON object.
//   node vercel.mjs TALKING_URL SEEING_URL PICTURE_URL QUESTION
// The talking model calls get_weather when it is asked "Weather?", answers a result of "seven degrees", and "Person?"
// with JSON. The seeing one takes pictures.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, jsonSchema, Output, stepCountIs, streamObject, streamText, tool }
  from "ai";

const [talking, seeing, picture, question] = process.argv.slice(2);
const settings = { temperature: 0, maxRetries: 0 };
const weather = tool({
  description: "Tells it.",
  inputSchema: jsonSchema({
    type: "object", properties: { city: { type: "string" }, days: { type: "array", items: { type: "integer" } } },
    required: ["city", "days"], additionalProperties: false,
  }),
  execute: async () => "seven degrees",
});
const person = jsonSchema({
  type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"],
  additionalProperties: false,
});

async function kindsOf(stream) {
  const kinds = [];
  for await (const part of stream.fullStream) {
    if (part.type === "error") throw part.error;
    if (kinds.at(-1) !== part.type) kinds.push(part.type);
  }
  return kinds;
}

async function drive(model, sighted) {
  const seen = {};
  const whole = await generateText({ ...settings, model, prompt: "Hi" });
  seen.text = whole.text;
  seen.finish = whole.finishReason;
  seen.usage = [whole.usage.inputTokens, whole.usage.outputTokens, whole.usage.totalTokens];
  const stream = streamText({ ...settings, model, prompt: "Hi" });
  seen.kinds = await kindsOf(stream);
  seen.streamed = await stream.text;
  const usage = await stream.usage;
  seen.streamedUsage = [usage.inputTokens, usage.outputTokens, usage.totalTokens];
  const turns = await generateText({ ...settings, model, messages: [
    { role: "system", content: "Be brief." }, { role: "user", content: "Hi" }, { role: "assistant", content: "Hello." },
    { role: "user", content: "Hi" }] });
  seen.turns = turns.text;

  const loop = { ...settings, model, prompt: "Weather?", tools: { get_weather: weather }, stopWhen: stepCountIs(3) };
  const called = await generateText(loop);
  seen.steps = called.steps.map((step) => step.finishReason);
  seen.called = called.steps[0].toolCalls.map((call) => [call.toolName, call.input]);
  seen.answer = called.text;
  const calling = streamText(loop);
  seen.callKinds = (await kindsOf(calling)).filter((kind) => kind.startsWith("tool-"));
  seen.streamedAnswer = await calling.text;
  const none = await generateText({ ...loop, toolChoice: "none" });
  seen.none = none.toolCalls.length;

  seen.object = (await generateObject({ ...settings, model, prompt: "Person?", schema: person })).object;
  const objects = streamObject({ ...settings, model, prompt: "Person?", schema: person });
  for await (const partial of objects.partialObjectStream) seen.partial = partial;
  seen.output = (await generateText({ ...settings, model, prompt: "Person?",
                                      output: Output.object({ schema: person }) })).output;
  try {
    await generateText({ ...settings, model, prompt: "Hi", temperature: 9 });
  } catch (error) {
    seen.error = [APICallError.isInstance(error), error.statusCode, error.message];
  }
  const content = [{ type: "image", image: picture }, { type: "text", text: question }];
  const look = { ...settings, model: sighted, messages: [{ role: "user", content }], maxOutputTokens: 16 };
  seen.picture = (await generateText(look)).text;
  seen.pictureStreamed = await streamText(look).text;
  return seen;
}

const official = (baseURL) => createOpenAI({ baseURL, apiKey: "none" });
const compatible = (baseURL) => createOpenAICompatible({ name: "saccade", baseURL, includeUsage: true,
                                                         supportsStructuredOutputs: true });
console.log(JSON.stringify({
  chat: await drive(official(talking).chat("tiny"), official(seeing).chat("llava")),
  responses: await drive(official(talking).responses("tiny"), official(seeing).responses("llava")),
  compatible: await drive(compatible(talking)("tiny"), compatible(seeing)("llava")),
}));
