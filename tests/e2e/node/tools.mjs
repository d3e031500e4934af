// Tools on /v1/responses and in chats with OpenAI's official client; prints what it saw as one JSON object.
//   node tools.mjs BASE_URL
// The model calls get_weather when it is asked "Weather?", and answers a result of "seven degrees".
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const parameters = {
  type: "object", properties: { city: { type: "string" }, days: { type: "array", items: { type: "integer" } } },
  required: ["city"], additionalProperties: false,
};
const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
const fixed = { model: "", temperature: 0 };
const seen = {};

const first = await client.responses.create({ ...fixed, input: "Weather?", tools });
seen.items = first.output.map((item) => item.type);
const call = first.output.find((item) => item.type === "function_call");
seen.arguments = JSON.parse(call.arguments);
const result = { type: "function_call_output", call_id: call.call_id, output: "seven degrees" };
const second = await client.responses.create({ ...fixed, input: [result], previous_response_id: first.id, tools });
seen.answer = second.output_text;

const stream = client.responses.stream({ ...fixed, input: "Weather?", tools });
let streamed = "";
for await (const event of stream) {
  if (event.type === "response.function_call_arguments.delta") streamed += event.delta;
}
seen.streamed = JSON.parse(streamed);
seen.final = (await stream.finalResponse()).output.map((item) => item.type);

const loop = {
  ...fixed, messages: [{ role: "user", content: "Weather?" }],
  tools: [{ type: "function",
            function: { name: "get_weather", parameters, parse: JSON.parse, function: () => "seven degrees" } }],
};
seen.runner = await client.chat.completions.runTools(loop).finalContent();
seen.streamingRunner = await client.chat.completions.runTools({ ...loop, stream: true }).finalContent();
console.log(JSON.stringify(seen));
