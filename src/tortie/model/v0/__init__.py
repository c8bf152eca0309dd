"""The forms of the 0.x era: profiles with tags, rules as words and as flat JSON. The canonical form is the v3 one."""
