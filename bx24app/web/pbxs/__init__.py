"""Pages of the PBXs: connection, lines, employees, the employee mapping as a file."""
