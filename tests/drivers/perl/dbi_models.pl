# What applications do with DBI and DBD::Pg on sealed tables, said as a transcript: prepared by the server, and with values in the statement.
use strict;
use warnings;
use utf8;
use DBI qw(:sql_types);
use FindBin;
use JSON::PP;

binmode STDOUT, ':raw';
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $people = $json->decode(do { local $/; open my $file, '<:raw', "$FindBin::Bin/../people.json" or die $!; <$file> });
my ($members, $loans, $changed, $upserted, $gone) = @$people{qw(members loans changed upserted gone)};
my ($ada, $bob, $chloe, $dora, $eve) = map { $_->{email} } @$members;
my @columns = qw(email phone note city visits);
my $db;

sub say_it { my ($step, @values) = @_; print "$step: ", $json->encode(\@values), "\n" }
sub rows { my ($sql, @values) = @_; return $db->selectall_arrayref($sql, undef, @values) }
sub firsts { my ($sql, @values) = @_; return $db->selectcol_arrayref($sql, undef, @values) }
sub fields { my ($one, $email) = @_; return (map { $_ eq 'email' && $email ? $email : $one->{$_} } @columns) }

# What is answered directly and refused on sealed columns.
sub refused {
    my ($what, $sql, @values) = @_;
    my $answered = eval { rows($sql, @values); 1 };
    print "refused: $what: ", $answered ? 'answered' : $db->state, "\n";
}

my $all = 'id, email, phone, note, city, visits';
my $insert = 'INSERT INTO members (email, phone, note, city, visits) VALUES (?, ?, ?, ?, ?)';

sub work {
    say_it('create', rows("$insert RETURNING $all", fields($members->[0])));
    my $many = $db->prepare($insert);
    my @rest = @$members[1 .. $#$members];
    my $count = $many->execute_array({ ArrayTupleStatus => \my @status }, map { my $name = $_; [map { $_->{$name} } @rest] } @columns);
    $many->execute("many.$_\@sentinel.example", sprintf('+44 20 7946 1%03d', $_), "sentinel note: many $_", 'Many', 100 + $_) for 0 .. 59;
    say_it('bulk', $count, rows("SELECT $all FROM members WHERE visits < ? ORDER BY id", 100));
    # A statement with as many rows as it is given.
    my @values = map { ("long.$_\@sentinel.example", undef, undef, 'Many', 200 + $_) } 0 .. 19;
    say_it('bulk', $db->do('INSERT INTO members (email, phone, note, city, visits) VALUES ' . join(', ', ('(?, ?, ?, ?, ?)') x 20), undef, @values) + 0);
    $db->do('INSERT INTO loans (member_id, title, email, remark) SELECT id, ?, ?, ? FROM members WHERE email = ?', undef, @$_{qw(title email remark member)}) for @$loans;
    say_it('bulk', rows('SELECT title, email, remark FROM loans ORDER BY id'));

    my ($id) = $db->selectrow_array('SELECT id FROM members WHERE email = ?', undef, $ada);
    say_it('key', rows("SELECT $all FROM members WHERE id = ?", $id), rows("SELECT $all FROM members WHERE id = ?", -1));
    say_it('equal', rows("SELECT $all FROM members WHERE email = ?", $bob), firsts('SELECT id FROM members WHERE phone = ? ORDER BY id', $members->[0]{phone}));
    my $find = $db->prepare('SELECT note FROM members WHERE email = ?');
    for my $email ($chloe, 'nobody', $bob) {
        $find->bind_param(1, $email, SQL_VARCHAR);
        $find->execute;
        say_it('equal', $find->fetchall_arrayref);
    }
    say_it('in', firsts('SELECT id FROM members WHERE email IN (?, ?, ?) ORDER BY id', $ada, $eve, 'nobody'), firsts('SELECT id FROM members WHERE email = ANY(?) ORDER BY id', [$ada, $bob]));
    say_it('null', firsts('SELECT id FROM members WHERE phone IS NULL AND visits < 100 ORDER BY id'), firsts('SELECT count(*) FROM members WHERE note IS NOT NULL'));
    say_it('or', firsts('SELECT id FROM members WHERE email = ? OR phone = ? OR (note IS NULL AND city = ?) ORDER BY id', $ada, $members->[1]{phone}, 'Oslo'));
    say_it('not', firsts('SELECT id FROM members WHERE email <> ? AND visits < 100 ORDER BY id', $ada), firsts('SELECT id FROM members WHERE email NOT IN (?, ?) AND visits < 100 ORDER BY id', $ada, $bob));
    say_it('quote', firsts('SELECT note FROM members WHERE email = ' . $db->quote($bob)), $db->do('UPDATE members SET note = ' . $db->quote($members->[1]{note}) . " WHERE email = '" . ($bob =~ s/'/''/r) . "'"));
    say_it('optional', firsts('SELECT id FROM members WHERE (?::text IS NULL OR email = ?) AND visits < 100 ORDER BY id', undef, undef), firsts('SELECT id FROM members WHERE (?::text IS NULL OR email = ?) ORDER BY id', $ada, $ada));

    say_it('join', rows('SELECT m.email, l.title, l.remark FROM loans l JOIN members m ON m.id = l.member_id WHERE m.email IN (?, ?) ORDER BY l.id', $ada, $bob));
    say_it('join', rows('SELECT l.title, m.note FROM loans l JOIN members m USING (email) ORDER BY l.id'), rows('SELECT m.email, l.remark FROM members m LEFT JOIN loans l ON l.member_id = m.id WHERE m.city = ? ORDER BY m.id, l.id', 'London'));
    my $known = $db->selectall_hashref('SELECT id, email FROM members WHERE phone = ?', 'id', undef, $members->[0]{phone});
    my $theirs = rows('SELECT member_id, title, remark FROM loans WHERE member_id IN (' . join(', ', ('?') x keys %$known) . ') ORDER BY id', sort keys %$known);
    say_it('eager', map { my $one = $_; [$known->{$one}{email}, [grep { $_->[0] == $one } @$theirs]] } sort { $a <=> $b } keys %$known);

    say_it('count', firsts('SELECT count(*) FROM members'), firsts('SELECT count(DISTINCT phone) FROM members'), firsts('SELECT count(*) FROM members WHERE email = ?', $ada));
    say_it('exists', firsts('SELECT EXISTS (SELECT 1 FROM members WHERE email = ?)', $ada), firsts('SELECT email FROM members m WHERE EXISTS (SELECT 1 FROM loans l WHERE l.email = m.email) ORDER BY id'));
    say_it('group', rows('SELECT phone, count(*) FROM members WHERE visits < 100 GROUP BY phone ORDER BY 2 DESC, min(id)'));
    say_it('page', firsts('SELECT email FROM members WHERE city <> ? ORDER BY visits DESC LIMIT ? OFFSET ?', 'Many', 2, $_)) for 0, 2, 4;

    say_it('update', rows("UPDATE members SET email = ?, note = ?, visits = visits + 1 WHERE email = ? RETURNING $all", @$changed{qw(email note)}, $ada));
    $db->do('UPDATE members SET email = ?, phone = ? WHERE id = ?', undef, $ada, undef, $id);
    say_it('update', $db->do('UPDATE members SET phone = ? WHERE email = ?', undef, $changed->{phone}, $eve) + 0, $db->do('UPDATE members SET note = NULL WHERE phone = ?', undef, 'nothing') + 0);
    $db->do('UPDATE members m SET phone = v.phone FROM (VALUES (?::bigint, ?::text), (?, ?)) AS v (id, phone) WHERE v.id = m.id', undef, $id, $members->[0]{phone}, $id + 1, $members->[1]{phone});
    say_it('update', rows("SELECT $all FROM members WHERE visits < 100 ORDER BY id"));
    my $upsert = 'ON CONFLICT (email) DO UPDATE SET phone = EXCLUDED.phone, note = EXCLUDED.note RETURNING email, phone, note';
    say_it('upsert', rows("$insert $upsert", fields($upserted)), rows("$insert $upsert", fields($gone, $eve)), rows("$insert ON CONFLICT DO NOTHING RETURNING id", fields($members->[0])));

    $db->begin_work;
    $db->do($insert, undef, fields($gone));
    say_it('transaction', firsts('SELECT note FROM members WHERE email = ?', $gone->{email}));
    $db->rollback;
    say_it('transaction', firsts('SELECT note FROM members WHERE email = ?', $gone->{email}));
    $db->begin_work;
    for my $email ($ada, $gone->{email}) {
        $db->pg_savepoint('one');
        if (eval { $db->do($insert, undef, fields($gone, $email)) }) { $db->pg_release('one'); say_it('savepoint', $email, 'kept') }
        else { say_it('duplicate', $db->state, $db->errstr =~ /members_email_key/ ? 1 : 0); $db->pg_rollback_to('one') }
    }
    $db->commit;
    say_it('savepoint', firsts('SELECT note FROM members WHERE email = ? FOR UPDATE', $gone->{email}));
    refused('lower', 'SELECT id FROM members WHERE lower(email) = ?', $ada);
    refused('order by', 'SELECT id FROM members ORDER BY email');
    say_it('delete', firsts('DELETE FROM members WHERE email IN (?, ?) RETURNING email', $gone->{email}, $eve), $db->do('DELETE FROM members WHERE email = ?', undef, $bob) + 0);
    say_it('delete', firsts('SELECT email FROM members WHERE visits < 100 ORDER BY id'), $db->do('DELETE FROM loans') + 0, $db->do('DELETE FROM members') + 0);
}

for my $prepared (1, 0) {
    $db = DBI->connect('dbi:Pg:', $ENV{PGUSER}, $ENV{PGPASSWORD}, { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1, pg_server_prepare => $prepared });
    work();
    $db->disconnect;
}
print "done\n";
