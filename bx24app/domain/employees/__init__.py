"""Which user has which extension of a PBX: suggestions (`matching`) and the table as a file (`csv_table`). Pure."""
