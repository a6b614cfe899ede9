// Asks a language model through the real client, and prints what came of it as JSON.
//
//     NODE_PATH=… node openai.js '{"base": "http://…/v1", "do": "stream", …}'
//
// {"text", "chunks", "finish", "usage", "error": {"name", "status", "type", "code", "message"}}
const OpenAI = require('openai');

const wish = JSON.parse(process.argv[2]);
const client = new OpenAI({
  baseURL: wish.base,
  apiKey: 'none',
  maxRetries: 0, // that is the gateway's work
  timeout: 20000,
});
const question = {
  model: wish.model || 'mock-large',
  messages: [{ role: 'user', content: 'Are you there?' }],
};

async function stream(result) {
  const answer = await client.chat.completions.create({
    ...question,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of answer) {
    const choice = chunk.choices[0];
    result.chunks++;
    result.model = chunk.model;
    result.usage = chunk.usage || result.usage;
    if (choice) {
      result.text += choice.delta.content || '';
      result.finish = choice.finish_reason || result.finish;
    }
  }
}

async function whole(result) {
  const answer = await client.chat.completions.create(question);
  result.text = answer.choices[0].message.content;
  result.finish = answer.choices[0].finish_reason;
  result.usage = answer.usage;
  result.model = answer.model;
}

async function embeddings(result) {
  const answer = await client.embeddings.create({ model: 'mock', input: ['one', 'two', 'one'] });
  result.vectors = answer.data.map((item) => item.embedding);
}

async function models(result) {
  for await (const model of client.models.list()) result.text += model.id + ' ';
}

async function main() {
  const result = { text: '', chunks: 0 };
  try {
    await { stream, whole, embeddings, models }[wish.do](result);
  } catch (e) {
    result.error = {
      name: e.constructor.name,
      isAPIError: e instanceof OpenAI.APIError,
      status: e.status,
      type: e.type,
      code: e.code,
      message: e.message,
    };
  }
  console.log(JSON.stringify(result));
}

main();
