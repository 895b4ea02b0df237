"""Ask one question and print the answer, its tokens and what it cost by the list."""

from aitoearn_openai import OpenAI

MODEL = "glm-5.2"

client = OpenAI()  # the key and the site come from AITOEARN_API_KEY and AITOEARN_SITE
answer = client.chat.completions.create(
    model=MODEL,
    messages=[
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "Why is the sky blue?"},
    ],
)
print(answer.choices[0].message.content)
print("tokens:", answer.usage.prompt_tokens, "in,", answer.usage.completion_tokens, "out")
model = client.models.retrieve(MODEL)  # costs no credits
print(
    "credits by the list:", model.credits(answer.usage)
)  # an estimate; the service does not tell what it charged
