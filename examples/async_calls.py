"""Ask several questions at once, and print the answers in the order of the questions."""

import asyncio

from aitoearn_openai import AsyncOpenAI

MODEL = "glm-5.2"
QUESTIONS = ["What is the capital of France?", "What is 6 times 7?", "Who wrote Hamlet?"]


async def ask(client, question):
    answer = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": question}]
    )
    return answer.choices[0].message.content


async def main():
    async with AsyncOpenAI() as client:
        answers = await asyncio.gather(*(ask(client, question) for question in QUESTIONS))
    for question, answer in zip(QUESTIONS, answers, strict=True):
        print(f"{question}\n  {answer}")


asyncio.run(main())
