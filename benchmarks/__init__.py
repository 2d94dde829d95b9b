"""What Vitalis does a second, beside what does the same without it."""
