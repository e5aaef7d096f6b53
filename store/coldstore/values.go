package coldstore

import (
	"math/big"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// clock returns what reads a column of times; nil if it is none.
func (s *scan) clock(leaf parquet.LeafColumn) func(parquet.Value) time.Time {
	t := leaf.Node.Type()
	if t.Kind() == parquet.Int96 {
		return func(v parquet.Value) time.Time { // as Spark and Impala had it: nanoseconds of the day, then the Julian day
			i := v.Int96()
			const epoch = 2440588
			return time.Unix((int64(i[2])-epoch)*86400, int64(uint64(i[1])<<32|uint64(i[0]))).UTC()
		}
	}
	var unit time.Duration
	utc := true
	if l := t.LogicalType(); l != nil {
		if stamp, ok := l.Value.(*format.TimestampType); ok && stamp.Unit.Value != nil {
			unit, utc = stamp.Unit.Value.Duration(), stamp.IsAdjustedToUTC
		}
		if _, ok := l.Value.(*format.DateType); ok {
			return func(v parquet.Value) time.Time { return time.Unix(int64(v.Int32())*86400, 0).UTC() }
		}
	}
	if unit == 0 || t.Kind() != parquet.Int64 {
		return nil
	}
	var offset time.Duration
	if !utc { // of a clock on the wall: that of the layout
		_, seconds := time.Time{}.In(s.zone()).Zone()
		offset = time.Duration(seconds) * time.Second
	}
	each := int64(time.Second / unit)
	return func(v parquet.Value) time.Time {
		n := v.Int64()
		seconds, rest := n/each, n%each
		if rest < 0 {
			seconds, rest = seconds-1, rest+each
		}
		return time.Unix(seconds, rest*int64(unit)).UTC().Add(-offset)
	}
}

// appendDecimal appends a DECIMAL's digits.
func appendDecimal(dst []byte, v parquet.Value, scale int) []byte {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default: // big-endian, two's complement
		b := v.ByteArray()
		if n.SetBytes(b); len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := n.Text(10)
	negative := strings.HasPrefix(digits, "-")
	digits = strings.TrimPrefix(digits, "-")
	if scale > 0 && scale < 1000 {
		if lacks := scale + 1 - len(digits); lacks > 0 {
			digits = strings.Repeat("0", lacks) + digits
		}
		digits = strings.TrimRight(digits[:len(digits)-scale]+"."+digits[len(digits)-scale:], "0")
		digits = strings.TrimSuffix(digits, ".")
	}
	if negative {
		dst = append(dst, '-')
	}
	return append(dst, digits...)
}
