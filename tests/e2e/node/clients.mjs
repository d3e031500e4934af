// Drives a server with Node's official clients; prints what they saw as one JSON object.
//   node clients.mjs BASE_URL MODEL QUESTION PICTURE_URL
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, streamText } from "ai";
import OpenAI from "openai";

const [baseURL, model, question, picture] = process.argv.slice(2);
const fixed = { temperature: 0, max_tokens: 16, ignore_eos: true };
const pictured = [
  { type: "image_url", image_url: { url: picture } },
  { type: "text", text: question },
];

async function openai() {
  const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
  const ask = (messages, more = {}) => client.chat.completions.create({ model, messages, ...fixed, ...more });
  const user = [{ role: "user", content: question }];
  const seen = {};
  seen.chat = (await ask(user)).choices[0].message.content;
  seen.picture = (await ask([{ role: "user", content: pictured }])).choices[0].message.content;
  seen.stream = "";
  for await (const chunk of await ask(user, { stream: true })) {
    seen.stream += chunk.choices[0]?.delta?.content ?? "";
  }
  const runner = client.chat.completions.stream({
    model, messages: user, ...fixed, stream_options: { include_usage: true },
  });
  seen.reader = await runner.finalContent();
  seen.usage = (await runner.totalUsage()).completion_tokens;
  const response = await client.responses.create({ model, input: question, max_output_tokens: 16, temperature: 0,
                                                   ignore_eos: true });
  seen.response = response.output_text;
  seen.models = (await client.models.list()).data.map((entry) => entry.id);
  seen.embedding = (await client.embeddings.create({ model, input: question })).data[0].embedding.length;
  try {
    await ask([]);
  } catch (error) {
    seen.error = { status: error.status, param: error.param, type: error.constructor.name };
  }
  return seen;
}

async function vercel() {
  const provider = createOpenAICompatible({ name: "saccade", baseURL, includeUsage: true });
  const settings = { model: provider(model), temperature: 0, maxOutputTokens: 16, maxRetries: 0,
                     providerOptions: { saccade: { ignore_eos: true } } };
  const whole = await generateText({ ...settings, prompt: question });
  const seen = { chat: whole.text, finish: whole.finishReason, usage: whole.usage.outputTokens };
  const stream = streamText({ ...settings, prompt: question });
  seen.stream = "";
  for await (const text of stream.textStream) seen.stream += text;
  const content = [{ type: "image", image: picture }, { type: "text", text: question }];
  seen.picture = (await generateText({ ...settings, messages: [{ role: "user", content }] })).text;
  const { embedding } = await embed({ model: provider.embeddingModel(model), value: question });
  seen.embedding = embedding.length;
  return seen;
}

console.log(JSON.stringify({ openai: await openai(), vercel: await vercel() }));
