<?php
// What applications do with PDO on sealed tables, said as a transcript: prepared by the server, by unnamed statements, and with values in the statement.
declare(strict_types=1);

$people = json_decode(file_get_contents(__DIR__ . '/../people.json'), true, flags: JSON_THROW_ON_ERROR);
['members' => $members, 'loans' => $loans, 'changed' => $changed, 'upserted' => $upserted, 'gone' => $gone] = $people;
[$ada, $bob, $chloe, $dora, $eve] = array_column($members, 'email');

function say(string $step, mixed ...$values): void
{
    echo $step, ': ', json_encode($values, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR), "\n";
}

function run(string $sql, array $values = []): PDOStatement
{
    global $db;
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

function rows(string $sql, array $values = []): array
{
    return run($sql, $values)->fetchAll(PDO::FETCH_NUM);
}

function firsts(string $sql, array $values = []): array
{
    return run($sql, $values)->fetchAll(PDO::FETCH_COLUMN);
}

function fields(array $one, ?string $email = null): array
{
    return [$email ?? $one['email'], $one['phone'], $one['note'], $one['city'], $one['visits']];
}

// What is answered directly and refused on sealed columns.
function refused(string $what, string $sql, array $values = []): void
{
    try {
        rows($sql, $values);
        echo "refused: $what: answered\n";
    } catch (PDOException $error) {
        echo "refused: $what: {$error->errorInfo[0]}\n";
    }
}

function work(): void
{
    global $db, $members, $loans, $changed, $upserted, $gone, $ada, $bob, $chloe, $dora, $eve;
    $all = 'id, email, phone, note, city, visits';
    $insert = 'INSERT INTO members (email, phone, note, city, visits) VALUES (?, ?, ?, ?, ?)';

    say('create', rows("$insert RETURNING $all", fields($members[0])));
    $one = $db->prepare('INSERT INTO members (email, phone, note, city, visits) VALUES (:email, :phone, :note, :city, :visits)');
    foreach (array_slice($members, 1) as $member) {
        foreach (['email', 'phone', 'note', 'city'] as $name) {
            $one->bindValue($name, $member[$name], $member[$name] === null ? PDO::PARAM_NULL : PDO::PARAM_STR);
        }
        $one->bindValue('visits', $member['visits'], PDO::PARAM_INT);
        $one->execute();
    }
    say('bulk', $one->rowCount(), (int) $db->lastInsertId() > 0, rows("SELECT $all FROM members ORDER BY id"));
    // A statement with as many rows as it is given.
    $values = array_merge(...array_map(fn ($n) => ["many.$n@sentinel.example", sprintf('+44 20 7946 1%03d', $n), "sentinel note: many $n", 'Many', 100 + $n], range(0, 59)));
    say('bulk', run('INSERT INTO members (email, phone, note, city, visits) VALUES ' . implode(', ', array_fill(0, 60, '(?, ?, ?, ?, ?)')), $values)->rowCount());
    foreach ($loans as $loan) {
        run('INSERT INTO loans (member_id, title, email, remark) SELECT id, :title, :email, :remark FROM members WHERE email = :member', $loan);
    }
    say('bulk', rows('SELECT title, email, remark FROM loans ORDER BY id'));

    $id = run('SELECT id FROM members WHERE email = ?', [$ada])->fetchColumn();
    say('key', rows("SELECT $all FROM members WHERE id = ?", [$id]), rows("SELECT $all FROM members WHERE id = ?", [-1]));
    say('equal', run("SELECT $all FROM members WHERE email = :email", ['email' => $bob])->fetch(PDO::FETCH_ASSOC), firsts('SELECT id FROM members WHERE phone = ? ORDER BY id', [$members[0]['phone']]));
    $find = $db->prepare('SELECT note FROM members WHERE email = ?');
    foreach ([$chloe, 'nobody', $bob] as $email) {
        $find->execute([$email]);
        say('equal', $find->fetchAll(PDO::FETCH_COLUMN));
    }
    say('in', firsts('SELECT id FROM members WHERE email IN (?, ?, ?) ORDER BY id', [$ada, $eve, 'nobody']), firsts('SELECT id FROM members WHERE email IN (SELECT email FROM loans) ORDER BY id'));
    say('null', firsts('SELECT id FROM members WHERE phone IS NULL ORDER BY id'), firsts('SELECT count(*) FROM members WHERE note IS NOT NULL'));
    say('or', firsts('SELECT id FROM members WHERE email = ? OR phone = ? OR (note IS NULL AND city = ?) ORDER BY id', [$ada, $members[1]['phone'], 'Oslo']));
    foreach ([null, $ada] as $email) {
        say('or', firsts('SELECT id FROM members WHERE (?::text IS NULL OR email = ?) AND visits < 100 ORDER BY id', [$email, $email]));
    }
    say('not', firsts('SELECT id FROM members WHERE email <> ? AND visits < 100 ORDER BY id', [$ada]), firsts('SELECT id FROM members WHERE email NOT IN (?, ?) AND visits < 100 ORDER BY id', [$ada, $bob]));
    say('quote', $db->query('SELECT note FROM members WHERE email = ' . $db->quote($bob))->fetchAll(PDO::FETCH_COLUMN), $db->exec('UPDATE members SET note = ' . $db->quote($members[1]['note']) . ' WHERE email = ' . $db->quote($bob)));

    say('join', rows('SELECT m.email, l.title, l.remark FROM loans l JOIN members m ON m.id = l.member_id WHERE m.email IN (?, ?) ORDER BY l.id', [$ada, $bob]));
    say('join', rows('SELECT l.title, m.note FROM loans l JOIN members m USING (email) ORDER BY l.id'), rows('SELECT m.email, l.remark FROM members m LEFT JOIN loans l ON l.member_id = m.id WHERE m.city = ? ORDER BY m.id, l.id', ['London']));
    $known = run('SELECT id, email FROM members WHERE phone = ? ORDER BY id', [$members[0]['phone']])->fetchAll(PDO::FETCH_KEY_PAIR);
    $theirs = run('SELECT member_id, title, remark FROM loans WHERE member_id IN (' . implode(', ', array_fill(0, count($known), '?')) . ') ORDER BY id', array_keys($known))->fetchAll(PDO::FETCH_GROUP | PDO::FETCH_NUM);
    say('eager', array_map(fn ($id, $email) => [$email, $theirs[$id] ?? []], array_keys($known), $known));

    say('count', firsts('SELECT count(*) FROM members'), firsts('SELECT count(DISTINCT phone) FROM members'), firsts('SELECT count(*) FROM members WHERE email = ?', [$ada]));
    say('exists', firsts('SELECT EXISTS (SELECT 1 FROM members WHERE email = ?)', [$ada]), firsts('SELECT email FROM members m WHERE EXISTS (SELECT 1 FROM loans l WHERE l.email = m.email) ORDER BY id'));
    say('group', rows('SELECT phone, count(*) FROM members WHERE visits < 100 GROUP BY phone ORDER BY 2 DESC, min(id)'));
    foreach ([0, 2, 4] as $offset) {
        say('page', firsts('SELECT email FROM members WHERE city <> ? ORDER BY visits DESC LIMIT ? OFFSET ?', ['Many', 2, $offset]));
    }

    say('update', rows("UPDATE members SET email = ?, note = ?, visits = visits + 1 WHERE email = ? RETURNING $all", [$changed['email'], $changed['note'], $ada]));
    run('UPDATE members SET email = ?, phone = ? WHERE id = ?', [$ada, null, $id]);
    say('update', run('UPDATE members SET phone = ? WHERE email = ?', [$changed['phone'], $eve])->rowCount(), run('UPDATE members SET note = NULL WHERE phone = ?', ['nothing'])->rowCount());
    run('UPDATE members SET phone = CASE id WHEN ? THEN ? ELSE phone END WHERE id IN (?, ?)', [$id, $members[0]['phone'], $id, $id + 1]);
    say('update', rows("SELECT $all FROM members WHERE visits < 100 ORDER BY id"));
    $upsert = 'ON CONFLICT (email) DO UPDATE SET phone = EXCLUDED.phone, note = EXCLUDED.note RETURNING email, phone, note';
    say('upsert', rows("$insert $upsert", fields($upserted)), rows("$insert $upsert", fields($gone, $eve)), rows("$insert ON CONFLICT DO NOTHING RETURNING id", fields($members[0])));

    $db->beginTransaction();
    run($insert, fields($gone));
    say('transaction', firsts('SELECT note FROM members WHERE email = ?', [$gone['email']]));
    $db->rollBack();
    say('transaction', firsts('SELECT note FROM members WHERE email = ?', [$gone['email']]));
    $db->beginTransaction();
    foreach ([$ada, $gone['email']] as $email) {
        $db->exec('SAVEPOINT one');
        try {
            run($insert, fields($gone, $email));
            say('savepoint', $email, 'kept');
        } catch (PDOException $error) {
            $db->exec('ROLLBACK TO SAVEPOINT one');
            say('duplicate', $error->errorInfo[0], str_contains($error->getMessage(), 'members_email_key'));
        }
    }
    $db->commit();
    say('savepoint', firsts('SELECT note FROM members WHERE email = ? FOR UPDATE', [$gone['email']]));
    refused('lower', 'SELECT id FROM members WHERE lower(email) = ?', [$ada]);
    refused('order by', 'SELECT id FROM members ORDER BY email');
    say('delete', firsts('DELETE FROM members WHERE email IN (?, ?) RETURNING email', [$gone['email'], $eve]), run('DELETE FROM members WHERE email = ?', [$bob])->rowCount());
    say('delete', firsts('SELECT email FROM members WHERE visits < 100 ORDER BY id'), $db->exec('DELETE FROM loans'), $db->exec('DELETE FROM members'));
}

foreach ([[], [PDO::PGSQL_ATTR_DISABLE_PREPARES => true], [PDO::ATTR_EMULATE_PREPARES => true]] as $options) {
    $db = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE'), getenv('PGUSER'), getenv('PGPASSWORD'), $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    work();
}
echo "done\n";
