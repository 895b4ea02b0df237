"""Find the cheapest model that draws in a size: python pick_an_image_model.py [SIZE]"""

import sys

from aitoearn_openai import OpenAI

size = sys.argv[1] if len(sys.argv) > 1 else "1024x1024"

client = OpenAI()
offers = []
for model in client.models.image_generation.list():  # costs no credits
    price = model.credits(size=size, n=1)  # None where the list has no price for the size
    if price is not None:
        offers.append((price, model.id, model.credits_scope))

print(f"Models that draw in {size}, by the credits for one image:")
for price, name, scope in sorted(offers):
    print(f"{price:10.4f}  {name}, paid from the balance {scope}")
if offers:
    print("The cheapest:", min(offers)[1])  # what images.generate(model=..., size=...) takes
