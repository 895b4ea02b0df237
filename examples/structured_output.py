"""Get an answer as an object of your own class, not as text."""

from pydantic import BaseModel

from aitoearn_openai import OpenAI

MODEL = "glm-5.2"


class Recipe(BaseModel):
    title: str
    minutes: int
    ingredients: list[str]


client = OpenAI()
answer = client.chat.completions.parse(
    model=MODEL,
    messages=[{"role": "user", "content": "A recipe for pancakes."}],
    response_format=Recipe,
)
recipe = answer.choices[0].message.parsed
print(type(recipe).__name__, recipe.title)
print("minutes:", recipe.minutes, "ingredients:", len(recipe.ingredients))
