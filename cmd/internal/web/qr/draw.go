package qr

// masks are the conditions under which a module is turned over (section 7.8.2).
var masks = []func(x, y int) bool{
	func(x, y int) bool { return (x+y)%2 == 0 },
	func(_, y int) bool { return y%2 == 0 },
	func(x, _ int) bool { return x%3 == 0 },
	func(x, y int) bool { return (x+y)%3 == 0 },
	func(x, y int) bool { return (y/2+x/3)%2 == 0 },
	func(x, y int) bool { return x*y%2+x*y%3 == 0 },
	func(x, y int) bool { return (x*y%2+x*y%3)%2 == 0 },
	func(x, y int) bool { return ((x+y)%2+x*y%3)%2 == 0 },
}

// choose draws words with each mask and takes the one that is the easiest to read.
func choose(number int, words []byte) (best *Code) {
	least := 0
	for mask := range masks {
		c := draw(number, words, mask)
		if p := c.penalty(); best == nil || p < least {
			best, least = c, p
		}
	}
	return best
}

// draw makes the code of a version by its number, with a mask.
func draw(number int, words []byte, mask int) *Code {
	side := 17 + 4*number
	c := &Code{Side: side, cells: make([]cell, side*side)}
	c.patterns(versions[number-1].align)
	if number >= 7 {
		c.number(number)
	}
	c.format(mask)
	c.fill(words, masks[mask])
	return c
}

// set makes a module one of a pattern.
func (c *Code) set(x, y int, on bool) {
	v := function
	if on {
		v |= dark
	}
	c.cells[y*c.Side+x] = v
}

// patterns are those by which a reader finds the modules (section 6.3).
func (c *Code) patterns(align []int) {
	last := c.Side - 1
	for i := range c.Side {
		c.set(i, 6, i%2 == 0)
		c.set(6, i, i%2 == 0)
	}
	for _, y := range align {
		for _, x := range align {
			if x == 6 && (y == 6 || y == last-6) || y == 6 && x == last-6 {
				continue // a finder is there
			}
			c.rings(x, y, 2)
		}
	}
	c.rings(3, 3, 4)
	c.rings(last-3, 3, 4)
	c.rings(3, last-3, 4)
	c.set(8, last-7, true)
}

// rings draws a finder, with the light margin around it (reach 4), or an alignment pattern (reach 2).
func (c *Code) rings(midX, midY, reach int) {
	for y := midY - reach; y <= midY+reach; y++ {
		for x := midX - reach; x <= midX+reach; x++ {
			if x < 0 || y < 0 || x >= c.Side || y >= c.Side {
				continue
			}
			ring := max(abs(x-midX), abs(y-midY))
			if reach == 4 {
				c.set(x, y, ring != 2 && ring != 4)
			} else {
				c.set(x, y, ring != 1)
			}
		}
	}
}

func abs(n int) int { return max(n, -n) }

// number writes down the version, which codes from 7 on have (section 7.10).
func (c *Code) number(n int) {
	const generator = 0x1f25
	word := uint32(n)<<12 | remainder(uint32(n)<<12, generator)
	for i := range 18 {
		on, a, b := word>>i&1 != 0, i/3, c.Side-11+i%3
		c.set(a, b, on)
		c.set(b, a, on)
	}
}

// format writes down the level and the mask, twice (section 7.9).
func (c *Code) format(mask int) {
	const levelM, generator, pattern = 0, 0x537, 0x5412
	value := uint32(levelM<<3 | mask)
	word := (value<<10 | remainder(value<<10, generator)) ^ pattern
	for i := range 15 {
		on := word>>i&1 != 0
		// Down the column right of the upper left finder, and from below; past the line of dots at 6.
		switch {
		case i < 6:
			c.set(8, i, on)
		case i < 8:
			c.set(8, i+1, on)
		default:
			c.set(8, c.Side-15+i, on)
		}
		// From the right end of the row below the finders, and to its left.
		switch {
		case i < 8:
			c.set(c.Side-1-i, 8, on)
		case i == 8:
			c.set(7, 8, on)
		default:
			c.set(14-i, 8, on)
		}
	}
}

// fill writes words into the modules that are left, from the lower right up and down in columns of two (section 7.7.3), and masks them.
func (c *Code) fill(words []byte, mask func(x, y int) bool) {
	at, up := 0, true
	for right := c.Side - 1; right > 0; right -= 2 {
		if right == 6 {
			right-- // the column of dots
		}
		for i := range c.Side {
			y := i
			if up {
				y = c.Side - 1 - i
			}
			for _, x := range [2]int{right, right - 1} {
				if c.cells[y*c.Side+x]&function != 0 {
					continue
				}
				on := at < 8*len(words) && words[at/8]>>(7-at%8)&1 != 0
				at++
				if on != mask(x, y) {
					c.cells[y*c.Side+x] |= dark
				}
			}
		}
		up = !up
	}
}

// The points of what makes a code hard to read (section 7.8.3.1, table 11).
const (
	pointsRun     = 3
	pointsSquare  = 3
	pointsFinder  = 40
	pointsBalance = 10
)

// penalty is how hard a code is to read.
func (c *Code) penalty() (points int) {
	darkOnes := 0
	for i := range c.Side {
		points += linePenalty(c.Side, func(at int) bool { return c.Dark(at, i) })
		points += linePenalty(c.Side, func(at int) bool { return c.Dark(i, at) })
		for at := range c.Side {
			if c.Dark(at, i) {
				darkOnes++
			}
			if at > 0 && i > 0 {
				d := c.Dark(at, i)
				if c.Dark(at-1, i) == d && c.Dark(at, i-1) == d && c.Dark(at-1, i-1) == d {
					points += pointsSquare
				}
			}
		}
	}
	percent := darkOnes * 100 / (c.Side * c.Side)
	return points + abs(percent-50)/5*pointsBalance
}

// linePenalty is that of a row or a column: runs of five and more, and what looks like a finder.
func linePenalty(side int, at func(int) bool) (points int) {
	run := 0
	var window uint16 // the last eleven modules
	for i := range side {
		if i > 0 && at(i) == at(i-1) {
			run++
		} else {
			run = 1
		}
		if run == 5 {
			points += pointsRun
		} else if run > 5 {
			points++
		}
		window = window << 1 & 0x7ff
		if at(i) {
			window |= 1
		}
		if i >= 10 && (window == 0b10111010000 || window == 0b00001011101) {
			points += pointsFinder
		}
	}
	return points
}
