"""What running it on Kubernetes and in containers is made of, and checked with. Not part of the product."""
