//! Reads the lines of an invoice.

use csv::{ReaderBuilder, StringRecord};

use crate::{File, Total, decimal};

/// Most lines with items: the limits of the task stop whatever is larger.
const LINES_MAX: u32 = 100_000;

/// Where the columns are.
struct Columns {
    item: usize,
    quantity: usize,
    unit_price: usize,
}

/// The total, or why the invoice is unreadable.
pub fn total(file: &File) -> Result<Total, String> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file.csv.as_bytes());
    let mut invoice = file.name.clone();
    let mut currency = "EUR".to_owned();
    let mut columns = None;
    let mut lines: u32 = 0;
    let mut sum: i128 = 0;
    for record in reader.records() {
        let record = record.map_err(|_| "the text is no CSV".to_owned())?;
        let line = record.position().map_or(0, csv::Position::line);
        if let Some(columns) = &columns {
            sum +=
                line_total(&record, columns).map_err(|reason| format!("line {line}: {reason}"))?;
            lines += 1;
            if lines > LINES_MAX {
                return Err(format!("more than {LINES_MAX} lines"));
            }
            continue;
        }
        match (field(&record, 0), field(&record, 1), record.len()) {
            ("invoice", number, 2) if !number.is_empty() => invoice = number.to_owned(),
            ("currency", code, 2) => {
                currency = currency_code(code).map_err(|reason| format!("line {line}: {reason}"))?
            }
            _ => {
                columns =
                    Some(find_columns(&record).map_err(|reason| format!("line {line}: {reason}"))?)
            }
        }
    }
    if columns.is_none() {
        return Err("no line names the columns item, quantity and unit_price".into());
    }
    if lines == 0 {
        return Err("no line has an item".into());
    }
    Ok(Total { invoice, currency, lines, total: decimal::print(sum) })
}

fn field(record: &StringRecord, column: usize) -> &str {
    record.get(column).unwrap_or_default().trim()
}

fn currency_code(code: &str) -> Result<String, String> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(code.to_owned());
    }
    Err(format!("'{code}' is no currency of three letters"))
}

fn find_columns(record: &StringRecord) -> Result<Columns, String> {
    let find = |name: &str| {
        record
            .iter()
            .position(|field| field.trim() == name)
            .ok_or_else(|| format!("no column is called {name}"))
    };
    Ok(Columns {
        item: find("item")?,
        quantity: find("quantity")?,
        unit_price: find("unit_price")?,
    })
}

fn line_total(record: &StringRecord, columns: &Columns) -> Result<i128, String> {
    if field(record, columns.item).is_empty() {
        return Err("the item has no name".into());
    }
    let number = |column: usize, name: &str| {
        let text = field(record, column);
        decimal::parse(text).ok_or_else(|| format!("{name} '{text}' is no number"))
    };
    let quantity = number(columns.quantity, "quantity")?;
    let unit_price = number(columns.unit_price, "unit_price")?;
    Ok(decimal::multiply(quantity, unit_price))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(csv: &str) -> Result<Total, String> {
        total(&File { name: "march.csv".into(), csv: csv.into() })
    }

    #[test]
    fn lines_are_multiplied_and_summed() {
        let invoice = "invoice,INV-7\ncurrency,USD\nitem,quantity,unit_price\n\"Paper, A4\",3,4.20\nPen,2,-0.35\n";
        let expected = Total {
            invoice: "INV-7".into(),
            currency: "USD".into(),
            lines: 2,
            total: "11.90".into(),
        };
        assert_eq!(read(invoice), Ok(expected));
    }

    #[test]
    fn columns_may_stand_in_any_order_and_the_head_may_lack() {
        let total = read("unit_price,item,note,quantity\r\n4.20,Paper,x,3\r\n").unwrap();
        assert_eq!(
            (total.invoice.as_str(), total.currency.as_str(), total.total.as_str()),
            ("march.csv", "EUR", "12.60")
        );
    }

    #[test]
    fn what_is_unreadable_says_where() {
        for (csv, reason) in [
            ("", "no line names the columns item, quantity and unit_price"),
            ("item,quantity,unit_price\n", "no line has an item"),
            ("item,quantity\na,1\n", "line 1: no column is called unit_price"),
            ("item,quantity,unit_price\nPen,two,1\n", "line 2: quantity 'two' is no number"),
            ("item,quantity,unit_price\nPen,2\n", "line 2: unit_price '' is no number"),
            ("item,quantity,unit_price\n,2,1\n", "line 2: the item has no name"),
            ("currency,euro\n", "line 1: 'euro' is no currency of three letters"),
        ] {
            assert_eq!(read(csv), Err(reason.to_owned()), "{csv}");
        }
    }
}
