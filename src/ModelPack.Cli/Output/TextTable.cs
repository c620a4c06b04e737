using Spectre.Console;

namespace ModelPack.Cli;

/// <summary>A table without lines: columns of text that wrap where the terminal is narrow, numbers to the right.</summary>
internal sealed class TextTable
{
    private readonly Table _table = new() { Border = TableBorder.None, UseSafeBorder = false };

    /// <param name="columns">Headers; a leading <c>&gt;</c> aligns the column to the right.</param>
    public TextTable(params ReadOnlySpan<string> columns)
    {
        for (int i = 0; i < columns.Length; i++)
        {
            bool right = columns[i].StartsWith('>');
            string header = right ? columns[i][1..] : columns[i];
            _table.AddColumn(new TableColumn(new Text(header, new Style(decoration: Decoration.Bold)))
            {
                Alignment = right ? Justify.Right : Justify.Left,
                NoWrap = right,
                Padding = new Padding(0, 0, i == columns.Length - 1 ? 0 : 2, 0),
            });
        }
    }

    public void Add(params ReadOnlySpan<string> cells)
    {
        var row = new Text[cells.Length];
        for (int i = 0; i < cells.Length; i++)
        {
            row[i] = new Text(Words.Printable(cells[i]));
        }

        _table.AddRow(row);
    }

    public void WriteTo(IAnsiConsole console) => console.Write(_table);
}
