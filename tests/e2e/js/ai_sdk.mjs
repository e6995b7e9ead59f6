// Vercel's AI SDK over each of its three providers: an answer, a stream, and a tool that it runs by itself.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

globalThis.AI_SDK_LOG_WARNINGS = false; // on stdout, and only of models that it doesn't know
const options = { baseURL: process.env.BASE_URL, apiKey: process.env.KEY };
const providers = {
  chat: createOpenAICompatible({ name: 'gateway', includeUsage: true, ...options }),
  responses: createOpenAI(options).responses,
  messages: createAnthropic(options),
};
const cities = [];
const tools = {
  get_weather: tool({
    description: 'The weather in a city',
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => {
      cities.push(city);
      return '22 degrees';
    },
  }),
};
const weather = { prompt: 'What is the weather in Paris?', tools, stopWhen: stepCountIs(3), maxRetries: 0 };

const told = {};
for (const [name, provider] of Object.entries(providers)) {
  const model = provider(process.env.MODEL);
  const plain = await generateText({ model, prompt: 'Hello!', maxRetries: 0 });
  const stream = streamText({ model, prompt: 'Hello!', maxRetries: 0 });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  const worked = await generateText({ model, ...weather });
  const working = streamText({ model, ...weather });
  await working.consumeStream();
  told[name] = {
    plain: plain.text,
    finish: plain.finishReason,
    usage: [plain.usage.inputTokens, plain.usage.outputTokens],
    streamed: { text: pieces.join(''), pieces: pieces.length, usage: (await stream.usage).outputTokens },
    worked: { text: worked.text, steps: worked.steps.length },
    working: { text: await working.text, steps: (await working.steps).length },
    cities: cities.splice(0),
  };
}
console.log(JSON.stringify(told));
