"""Find the cheapest model that takes what you have: python pick_a_model.py [text, image, audio or video]"""

import sys

from aitoearn_openai import OpenAI

need = sys.argv[1] if len(sys.argv) > 1 else "text"

client = OpenAI()
offers = []
for model in client.models.list():  # costs no credits
    # None where the list has no price for the model.
    price = model.credits(prompt_tokens=1000, completion_tokens=500)
    if need in model.input_modalities and "text" in model.output_modalities and price is not None:
        offers.append((price, model.id))

print(f"Models that take {need}, by the credits for 1,000 tokens in and 500 out:")
for price, name in sorted(offers):
    print(f"{price:10.4f}  {name}")
if offers:
    print("The cheapest:", min(offers)[1])
