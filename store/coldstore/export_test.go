package coldstore

// Hold sets how many bytes of rows a scan holds for long.
func (s *Store) Hold(n int64) { s.most = n }

// Held returns how many bytes all scans hold.
func (s *Store) Held() int64 { return s.held.Load() }

// Room sets how many they may hold.
func (s *Store) Room(n int64) { s.room = n }

// Fill holds all that may be held, until release.
func (s *Store) Fill() (release func()) {
	s.held.Add(s.room)
	s.first.Store(new(scan))
	return func() {
		s.held.Add(-s.room)
		s.first.Store(nil)
	}
}
