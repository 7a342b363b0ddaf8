"""Where a value comes from: a cell's, a job's, or one in a line of a generated file."""
