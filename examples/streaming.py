"""Print an answer while it arrives, and the reasoning apart from it, on stderr: python streaming.py [MODEL]"""

import sys

from aitoearn_openai import OpenAI

model = sys.argv[1] if len(sys.argv) > 1 else "glm-5.2"

client = OpenAI()
stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "How many days has a leap year?"}],
    stream=True,
    stream_options={"include_usage": True},
)
thinking = False
for chunk in stream:
    for choice in chunk.choices:  # the chunk with the usage has no choices
        reasoning = getattr(choice.delta, "reasoning_content", None)  # not every model sends it
        if reasoning:
            thinking = True
            print(reasoning, end="", file=sys.stderr, flush=True)
        if choice.delta.content:
            if thinking:
                thinking = False
                print("\n", file=sys.stderr, flush=True)
            print(choice.delta.content, end="", flush=True)
    if chunk.usage:
        print("\ntokens:", chunk.usage.total_tokens)
