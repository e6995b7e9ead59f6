// Anthropic's SDK: an answer, a stream, a tool's two turns, a count. Prints what it understood as JSON.
import Anthropic from '@anthropic-ai/sdk';

const model = process.env.MODEL;
const client = new Anthropic({ maxRetries: 0 });
const hello = [{ role: 'user', content: 'Hello!' }];
const asked = [{ role: 'user', content: 'What is the weather in Paris?' }];
const tools = [{
  name: 'get_weather',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}];

const plain = await client.messages.create({ model, max_tokens: 100, messages: hello });
const streamed = await client.messages.stream({ model, max_tokens: 100, messages: hello }).finalMessage();
const called = await client.messages.stream({ model, max_tokens: 100, messages: asked, tools }).finalMessage();
const use = called.content.find((block) => block.type === 'tool_use');
const result = { type: 'tool_result', tool_use_id: use.id, content: '22 degrees' };
const told = await client.messages.create({
  model, max_tokens: 100, tools,
  messages: [...asked, { role: 'assistant', content: called.content }, { role: 'user', content: [result] }],
});
const counted = await client.messages.countTokens({ model, messages: hello });
const refused = await client.messages.create({ model: 'nope', max_tokens: 1, messages: hello }).catch((error) => error);

console.log(JSON.stringify({
  plain: plain.content[0].text,
  streamed: streamed.content[0].text,
  usage: [plain.usage, streamed.usage],
  use: { name: use.name, input: use.input, reason: called.stop_reason },
  told: told.content[0].text,
  counted: counted.input_tokens,
  refused: { status: refused.status, type: refused.error.error.type },
}));
