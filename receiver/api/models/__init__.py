"""The words of the API: what may be asked, and what is answered, by what it is about. Times are Unix seconds."""
