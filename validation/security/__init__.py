"""Who gets in, who may do what, and whether secrets stay secret: asked by doing, harmlessly."""
