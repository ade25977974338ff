"""What a phone or web project needs: a project that opens, builds and tests itself."""
