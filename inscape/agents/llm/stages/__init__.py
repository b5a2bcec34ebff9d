"""Ways of training a language model beside cloning, comparisons and policy gradients."""
