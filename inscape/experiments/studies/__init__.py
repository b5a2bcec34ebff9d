"""`inscape study`: what is to be known about a world, in one page. A part is a file; `parts.PARTS` lists them."""
