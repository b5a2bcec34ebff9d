"""Questions that Inscape comes with: `inscape run NAME` runs one and answers it. README.md says what to expect."""
