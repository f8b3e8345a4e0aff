"""The PBX side: commands over SSH, click-to-call, smart redirect."""
