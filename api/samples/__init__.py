"""The pair of pictures to try the service with, and the script that draws them."""
