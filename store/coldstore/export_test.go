package coldstore

// Hold sets how many bytes of rows a scan holds for long.
func (s *Store) Hold(n int64) { s.most = n }
