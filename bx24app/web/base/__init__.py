"""What all pages share: guards, sessions, errors, headers, languages, rendering, names of employees."""
