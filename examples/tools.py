"""Have a model call a function of yours, check its arguments, and send the result back."""

import openai
from pydantic import BaseModel

from aitoearn_openai import OpenAI

MODEL = "glm-5.2"


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str


client = OpenAI()
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
tools = [openai.pydantic_function_tool(GetWeather)]
forced = {"type": "function", "function": {"name": "GetWeather"}}
asked = client.chat.completions.create(model=MODEL, messages=messages, tools=tools, tool_choice=forced)
call = asked.choices[0].message.tool_calls[0]
wanted = GetWeather.model_validate_json(call.function.arguments)  # a model may get them wrong
print("the model asks for the weather in", wanted.city)

messages.append(asked.choices[0].message.to_dict(exclude_none=True))
messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{wanted.city}: 21 degrees, sunny"})
answer = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
print("the model says:", answer.choices[0].message.content)
