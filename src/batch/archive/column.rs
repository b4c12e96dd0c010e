//! A column of some rows in memory: filled from events or from a file, and taken from row by row.

use parquet::column::reader::ColumnReader;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedColumnWriter;

use super::table::{Form, Physical};

#[derive(Debug)]
enum Values {
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

#[derive(Debug)]
pub struct Column {
    /// Those that are not null.
    values: Values,
    /// 0 for null and 1 for a value, where there may be nulls.
    levels: Option<Vec<i16>>,
    /// Bytes of the values of no fixed length.
    bytes: usize,
    /// The next value and the next row to take.
    value: usize,
    row: usize,
}

impl Column {
    pub fn new(form: Form) -> Column {
        let values = match form.physical() {
            Some(Physical::I64) => Values::I64(Vec::new()),
            Some(Physical::Bool) => Values::Bool(Vec::new()),
            Some(Physical::Bytes) => Values::Bytes(Vec::new()),
            Some(Physical::Fixed) => Values::Fixed(Vec::new()),
            Some(Physical::I32) | None => Values::I32(Vec::new()),
        };
        Column { values, levels: form.is_nullable().then(Vec::new), bytes: 0, value: 0, row: 0 }
    }

    fn is_there(&mut self) {
        if let Some(levels) = &mut self.levels {
            levels.push(1);
        }
    }

    pub fn null(&mut self) {
        if let Some(levels) = &mut self.levels {
            levels.push(0);
        }
    }

    pub fn i32(&mut self, value: i32) {
        if let Values::I32(values) = &mut self.values {
            values.push(value);
        }
        self.is_there();
    }

    pub fn i64(&mut self, value: i64) {
        if let Values::I64(values) = &mut self.values {
            values.push(value);
        }
        self.is_there();
    }

    pub fn bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.push(value);
        }
        self.is_there();
    }

    pub fn bytes(&mut self, value: &[u8]) {
        if let Values::Bytes(values) = &mut self.values {
            // Words and currencies come again and again: they share their bytes.
            let again = values.last().filter(|last| last.data() == value).cloned();
            if again.is_none() {
                self.bytes += value.len();
            }
            values.push(again.unwrap_or_else(|| ByteArray::from(value.to_vec())));
        }
        self.is_there();
    }

    pub fn fixed(&mut self, value: FixedLenByteArray) {
        self.bytes += value.len();
        if let Values::Fixed(values) = &mut self.values {
            values.push(value);
        }
        self.is_there();
    }

    /// Bytes of its values of no fixed length.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// The sum of a column of 64-bit numbers.
    pub fn sum(&self) -> i128 {
        match &self.values {
            Values::I64(values) => values.iter().map(|value| i128::from(*value)).sum(),
            _ => 0,
        }
    }

    pub fn clear(&mut self) {
        match &mut self.values {
            Values::I32(values) => values.clear(),
            Values::I64(values) => values.clear(),
            Values::Bool(values) => values.clear(),
            Values::Bytes(values) => values.clear(),
            Values::Fixed(values) => values.clear(),
        }
        self.levels.iter_mut().for_each(Vec::clear);
        (self.bytes, self.value, self.row) = (0, 0, 0);
    }

    pub fn write(&self, writer: &mut SerializedColumnWriter) -> Result<()> {
        let levels = self.levels.as_deref();
        match &self.values {
            Values::I32(values) => writer.typed::<Int32Type>().write_batch(values, levels, None)?,
            Values::I64(values) => writer.typed::<Int64Type>().write_batch(values, levels, None)?,
            Values::Bool(values) => writer.typed::<BoolType>().write_batch(values, levels, None)?,
            Values::Bytes(values) => writer.typed::<ByteArrayType>().write_batch(values, levels, None)?,
            Values::Fixed(values) => writer.typed::<FixedLenByteArrayType>().write_batch(values, levels, None)?,
        };
        Ok(())
    }

    /// Replaces what it holds by the next rows of a file; without a reader by nulls.
    pub fn read(&mut self, reader: Option<&mut ColumnReader>, rows: usize) -> Result<()> {
        self.clear();
        let levels = self.levels.as_mut();
        let (read, ..) = match (&mut self.values, reader) {
            (Values::I32(values), Some(ColumnReader::Int32ColumnReader(reader))) => {
                reader.read_records(rows, levels, None, values)?
            }
            (Values::I64(values), Some(ColumnReader::Int64ColumnReader(reader))) => {
                reader.read_records(rows, levels, None, values)?
            }
            (Values::Bool(values), Some(ColumnReader::BoolColumnReader(reader))) => {
                reader.read_records(rows, levels, None, values)?
            }
            (Values::Bytes(values), Some(ColumnReader::ByteArrayColumnReader(reader))) => {
                reader.read_records(rows, levels, None, values)?
            }
            (Values::Fixed(values), Some(ColumnReader::FixedLenByteArrayColumnReader(reader))) => {
                reader.read_records(rows, levels, None, values)?
            }
            (_, None) => {
                levels.into_iter().for_each(|levels| levels.resize(rows, 0));
                (rows, 0, 0)
            }
            (_, Some(_)) => return Err(ParquetError::General("the column is of another type".into())),
        };
        if read != rows {
            return Err(ParquetError::General(format!("{read} rows where there must be {rows}")));
        }
        Ok(())
    }

    /// Whether the next row is null; it is then taken.
    pub fn take_null(&mut self) -> bool {
        let null = self.levels.as_ref().is_some_and(|levels| levels.get(self.row) == Some(&0));
        if null {
            self.row += 1;
        }
        null
    }

    fn taken(&mut self) -> usize {
        self.row += 1;
        self.value += 1;
        self.value - 1
    }

    pub fn take_i32(&mut self) -> Option<i32> {
        let at = self.taken();
        if let Values::I32(values) = &self.values { values.get(at).copied() } else { None }
    }

    pub fn take_i64(&mut self) -> Option<i64> {
        let at = self.taken();
        if let Values::I64(values) = &self.values { values.get(at).copied() } else { None }
    }

    pub fn take_bool(&mut self) -> Option<bool> {
        let at = self.taken();
        if let Values::Bool(values) = &self.values { values.get(at).copied() } else { None }
    }

    pub fn take_bytes(&mut self) -> Option<&[u8]> {
        let at = self.taken();
        if let Values::Bytes(values) = &self.values { values.get(at).map(ByteArray::data) } else { None }
    }

    pub fn take_fixed(&mut self) -> Option<&[u8]> {
        let at = self.taken();
        if let Values::Fixed(values) = &self.values { values.get(at).map(|value| value.data()) } else { None }
    }
}
