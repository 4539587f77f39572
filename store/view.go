package store

import (
	"errors"

	"github.com/dgraph-io/badger/v4"
)

// View is one moment of the store: all of what was committed when it began and
// nothing younger, but for a staged checkpoint, of which it may see a part. It is
// for one goroutine.
type View struct {
	store *Store
	txn   *badger.Txn
	key   []byte
}

// View begins a view of now, which must be closed soon. Many reads in one view
// cost less than as many Gets.
func (s *Store) View() (*View, error) {
	s.using.RLock()
	if s.closed {
		s.using.RUnlock()
		return nil, ErrClosed
	}
	return &View{store: s, txn: s.db.NewTransaction(false)}, nil
}

// Close ends the view.
func (v *View) Close() {
	v.txn.Discard()
	v.store.using.RUnlock()
}

// Get calls f with the value of a key and its Sum, or not when there is none. The
// value is valid during the call only.
func (v *View) Get(space Space, key []byte, f func(value []byte, sum uint64) error) error {
	if err := checkKey(space, key); err != nil {
		return err
	}
	value, err := v.find(space, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return f(value, Sum(space, key, value))
}

// find gives a value. Values are kept inline, so the bytes are the item's own.
func (v *View) find(space Space, key []byte) (value []byte, err error) {
	defer v.store.caught(space, key, &err)
	v.key = append(append(v.key[:0], byte(space)), key...)
	item, err := v.txn.Get(v.key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, v.store.corrupt(space, key, "badger: "+plain(err))
	}
	err = item.Value(func(stored []byte) error {
		if value, err = unseal(v.key, stored); err != nil {
			return v.store.corrupt(space, key, err.Error())
		}
		return nil
	})
	return value, err
}

// Scan is Store.Scan in this moment, and verifies no more than each value.
func (v *View) Scan(space Space, prefix []byte, f func(key, value []byte, sum uint64) error) error {
	if err := checkKey(space, prefix); err != nil {
		return err
	}
	return v.store.scanIn(v.txn, space, prefix, nil, func(key, value []byte, _ uint64) error {
		return f(key, value, Sum(space, key, value))
	})
}
