"""Block tables in the papers' order, their cost, and the Keras models built from them."""
