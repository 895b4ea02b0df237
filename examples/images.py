"""Draw a picture and save it: python images.py MODEL [FOLDER]"""

import argparse
import base64
from pathlib import Path

from aitoearn_openai import OpenAI

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("model", help="a model that gives images")
parser.add_argument("folder", nargs="?", default=".", type=Path, help="where the picture goes")
arguments = parser.parse_args()

client = OpenAI()
answer = client.images.generate(model=arguments.model, prompt="A red kite over the sea")
picture = answer.data[0]
if picture.b64_json:
    path = arguments.folder / "picture.png"
    path.write_bytes(base64.b64decode(picture.b64_json))
    print("saved as", path)
else:  # some models answer with an address
    print("the picture is at", picture.url)
