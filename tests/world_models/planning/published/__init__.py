"""Numbers printed in books, papers and the documentation of other libraries, and how they are computed here."""
