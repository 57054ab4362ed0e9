"""Who may connect; bytes in and out, time, stop. Knows no dialect and no command."""
