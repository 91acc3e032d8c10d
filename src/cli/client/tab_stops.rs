//! Text whose columns are as wide as what is in them: Go's `text/tabwriter`, which kubectl prints with.
//!
//! Cells end with tabs. A column is as wide as the widest of its cells in lines that follow one another; a line without such a cell
//! ends it. What follows the last tab of a line is in no column.

/// Least width of a column with its gap, and the gap.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Stops {
    pub(in crate::cli) least: usize,
    pub(in crate::cli) gap: usize,
}

/// As `get` has them.
pub(in crate::cli) const TABLE: Stops = Stops { least: 6, gap: 3 };

/// As `describe` has them.
pub(in crate::cli) const DESCRIPTION: Stops = Stops { least: 0, gap: 2 };

impl Stops {
    /// The text with spaces for its tabs.
    pub(in crate::cli) fn align(self, text: &str) -> String {
        let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
        let mut widths: Vec<Vec<usize>> = vec![Vec::new(); lines.len()];
        self.measure(&lines, &mut widths, 0);
        let mut aligned = String::with_capacity(text.len() * 2);
        for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
            aligned.push_str(if index == 0 { "" } else { "\n" });
            for (cell, width) in cells.iter().zip(widths.iter().copied().chain([0])) {
                aligned.push_str(cell);
                aligned.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        aligned
    }

    /// The widths of this column and those right of it, for the cells that have a tab after them.
    fn measure(self, lines: &[Vec<&str>], widths: &mut [Vec<usize>], column: usize) {
        let has_cell = |line: &Vec<&str>| column + 1 < line.len();
        let mut first = 0;
        while let Some(begin) = lines[first..].iter().position(has_cell).map(|offset| first + offset) {
            let end =
                lines[begin..].iter().position(|line| !has_cell(line)).map_or(lines.len(), |n| begin + n);
            let cells = lines[begin..end].iter().map(|line| line[column].chars().count() + self.gap);
            let width = cells.fold(self.least, usize::max);
            widths[begin..end].iter_mut().for_each(|widths| widths.push(width));
            self.measure(&lines[begin..end], &mut widths[begin..end], column + 1);
            first = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_cells_in_lines_that_follow_one_another() {
        for (text, expected) in [
            ("", ""),
            ("plain\nlines\n", "plain\nlines\n"),
            ("a:\t1\nlonger:\t2\n", "a:       1\nlonger:  2\n"),
            ("a:\t1\nno column\nlonger:\t2\n", "a:  1\nno column\nlonger:  2\n"),
            ("a\tb\tc\nlong\tlonger\td\nx\ty\n", "a     b       c\nlong  longer  d\nx     y\n"),
            ("a\t\tc\né\t\td", "a    c\né    d"),
        ] {
            assert_eq!(DESCRIPTION.align(text), expected, "{text:?}");
        }
        assert_eq!(TABLE.align("A\tB\n1\t2\n"), "A     B\n1     2\n");
    }
}
