//! [`MatRef`] and [`MatMut`]: how shapes travel to a kernel.

/// A row-major matrix inside a slice: element `(i, j)` is `data[i * leading_dimension + j]`.
///
/// Between the end of a row and the start of the next lies padding. It is never used as data and may hold anything.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    leading_dimension: usize,
}

/// [`MatRef`] for writing. Padding is left untouched.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    leading_dimension: usize,
}

/// The number of elements that a matrix reaches over: everything but the padding of its last row.
#[inline]
pub const fn extent(rows: usize, columns: usize, leading_dimension: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * leading_dimension + columns }
}

/// In line, because matrices are made many times in a step of a small network; what a refusal says is not.
#[inline(always)]
#[track_caller]
fn check(len: usize, rows: usize, columns: usize, leading_dimension: usize) {
    if rows > 1 && leading_dimension < columns {
        refuse_overlap(columns, leading_dimension);
    }
    let needed = rows.saturating_sub(1).checked_mul(leading_dimension).and_then(|start| start.checked_add(columns));
    if rows != 0 && columns != 0 && needed.is_none_or(|needed| len < needed) {
        refuse_short(len, rows, columns, leading_dimension, needed);
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse_overlap(columns: usize, leading_dimension: usize) -> ! {
    panic!("leading dimension of at least {columns} expected for {columns} columns, found {leading_dimension}");
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse_short(len: usize, rows: usize, columns: usize, leading_dimension: usize, needed: Option<usize>) -> ! {
    panic!("a matrix of {rows} x {columns} with leading dimension {leading_dimension} expects {needed:?} elements, found {len}");
}

impl<'a> MatRef<'a> {
    /// A matrix at the start of `data`.
    ///
    /// # Panics
    /// If rows would overlap or `data` is too short.
    #[inline(always)]
    #[track_caller]
    pub fn new(data: &'a [f32], rows: usize, columns: usize, leading_dimension: usize) -> Self {
        check(data.len(), rows, columns, leading_dimension);
        Self { data, rows, columns, leading_dimension }
    }

    /// The number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The distance from an element to the one below it.
    #[inline]
    pub fn leading_dimension(&self) -> usize {
        self.leading_dimension
    }

    /// The slice that holds the matrix, padding included.
    #[inline]
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// One row, without padding.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[track_caller]
    pub fn row(&self, i: usize) -> &'a [f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        let start = if self.columns == 0 { 0 } else { i * self.leading_dimension };
        &self.data[start..start + self.columns]
    }
}

impl<'a> MatMut<'a> {
    /// A matrix at the start of `data`.
    ///
    /// # Panics
    /// If rows would overlap or `data` is too short.
    #[inline(always)]
    #[track_caller]
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, leading_dimension: usize) -> Self {
        check(data.len(), rows, columns, leading_dimension);
        Self { data, rows, columns, leading_dimension }
    }

    /// The number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The distance from an element to the one below it.
    #[inline]
    pub fn leading_dimension(&self) -> usize {
        self.leading_dimension
    }

    /// The slice that holds the matrix, padding included.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [f32] {
        self.data
    }

    /// The slice that holds the matrix, padding included, for as long as it is borrowed.
    pub fn into_data(self) -> &'a mut [f32] {
        self.data
    }

    /// One row, without padding.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[track_caller]
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        let start = if self.columns == 0 { 0 } else { i * self.leading_dimension };
        &mut self.data[start..start + self.columns]
    }

    /// The same matrix, for reading.
    #[inline]
    pub fn as_ref(&self) -> MatRef<'_> {
        MatRef { data: self.data, rows: self.rows, columns: self.columns, leading_dimension: self.leading_dimension }
    }

    /// The same matrix, for a callee to write.
    #[inline]
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { data: self.data, rows: self.rows, columns: self.columns, leading_dimension: self.leading_dimension }
    }
}
