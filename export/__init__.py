"""The bridge: torch module ⇄ NIR ⇄ Program ⇄ Lava, and the command `neuroclip-export`."""
