// OpenAI's SDK on /v1/responses: an answer, a stream, a tool's two turns. Prints what it understood as JSON.
import OpenAI from 'openai';

const model = process.env.MODEL;
const client = new OpenAI({ maxRetries: 0 });
const asked = [{ role: 'user', content: 'What is the weather in Paris?' }];
const tools = [{
  type: 'function', name: 'get_weather', strict: true,
  parameters: {
    type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false,
  },
}];

const plain = await client.responses.create({ model, input: 'Hello!' });
const events = [];
let streamed = '';
for await (const event of await client.responses.create({ model, input: 'Hello!', stream: true })) {
  events.push(event);
  if (event.type === 'response.output_text.delta') streamed += event.delta;
}
const called = await client.responses.stream({ model, input: asked, tools }).finalResponse();
const call = called.output.find((item) => item.type === 'function_call');
const told = await client.responses.create({
  model, tools,
  input: [...asked, ...called.output, { type: 'function_call_output', call_id: call.call_id, output: '22 degrees' }],
});
const refused = await client.responses.create({ model: 'nope', input: 'Hello!' }).catch((error) => error);

console.log(JSON.stringify({
  plain: plain.output_text,
  streamed,
  numbers: events.map((event) => event.sequence_number),
  last: { type: events.at(-1).type, text: events.at(-1).response.output[0].content[0].text },
  usage: plain.usage,
  call: { name: call.name, arguments: JSON.parse(call.arguments) },
  told: told.output_text,
  refused: { status: refused.status, code: refused.code },
}));
