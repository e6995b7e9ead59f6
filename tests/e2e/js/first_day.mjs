import OpenAI from 'openai';

const client = new OpenAI({
  apiKey: 'tk-xxxxxxxxxxxx', // Your Tokligence API key
  baseURL: 'http://localhost:8081/v1'
});

const response = await client.chat.completions.create({
  model: 'claude-3-5-sonnet', // Check /models for available models
  messages: [
    { role: 'user', content: 'Hello!' }
  ]
});

console.log(response.choices[0].message.content);
