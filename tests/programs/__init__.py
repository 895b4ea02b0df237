"""Programs that other people wrote, unmodified, behind `aitoearn-openai run`: what their users get to see."""
